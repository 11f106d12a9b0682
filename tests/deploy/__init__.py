"""What is shipped: the image, compose files, machines' variables and the chart."""
