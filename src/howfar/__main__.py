"""`python -m howfar`: the same as the command `howfar`."""

from howfar.cli import main

if __name__ == "__main__":
    main()
