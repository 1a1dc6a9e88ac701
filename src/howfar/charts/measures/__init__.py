"""Charts of measures, one module for each measure."""
