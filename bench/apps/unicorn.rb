# Unicorn with two workers that have the application from their master.
worker_processes 2
preload_app true
timeout 120
