"""The frozen report, and its readers: JSON, terminal table, Markdown, plot."""
