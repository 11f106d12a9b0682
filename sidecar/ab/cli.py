"""`sidecar ab`: the commands that compare arms. What is heavy is imported by the command."""

import typer

ab = typer.Typer(help="Compare arms, and decide between them.", no_args_is_help=True)
