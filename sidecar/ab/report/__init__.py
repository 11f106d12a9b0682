"""One page that says what a comparison of arms found: HTML with its plots, or Markdown."""
