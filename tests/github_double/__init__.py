"""A double of GitHub's REST API on loopback; both sides of every exchange are held to GitHub's own description."""
