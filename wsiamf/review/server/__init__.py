"""The review application: a web server on this machine for the page on which figures are judged."""
