"""Accounts and log-ins: who somebody is, and what the role allows."""
