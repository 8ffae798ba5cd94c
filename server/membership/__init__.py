"""Who belongs to a consortium: requests to join, welcomes, and a small certificate authority."""
