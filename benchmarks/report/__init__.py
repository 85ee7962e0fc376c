"""Tables, plots and numbers of the READMEs, written from the results files."""
