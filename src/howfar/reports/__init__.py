"""Reports: the measures by name, with their charts, and the published figures beside them."""
