"""Charts: pure functions from data to chart objects; nothing displays by itself."""
