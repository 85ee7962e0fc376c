"""The report, and what is made from it: JSON, terminal table, Markdown, plot."""
