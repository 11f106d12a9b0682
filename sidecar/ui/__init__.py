"""The files of the operator's page, as browsers get them."""
