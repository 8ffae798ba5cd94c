"""The coordinator's and the researcher's commands; `concause` composes them with the site's."""
