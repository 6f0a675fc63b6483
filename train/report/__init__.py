"""Cards, tables, figures, contact sheets."""
