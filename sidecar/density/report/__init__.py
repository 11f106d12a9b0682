"""One page that says how many streams were carried, and why not more: HTML with plots, Markdown."""
