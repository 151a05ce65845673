"""Keeps gunicorn and nginx under load for minutes, with reloads, kills and clients that leave."""
