"""A gunicorn under load, plain and with libautotrim preloaded, side by side.

options   the command line
rows      the data: an SQLite file and the query that reads it
app       the WSGI and ASGI application that answers with it
server    starts and stops gunicorn
load      the requests and the client that sends them
sampler   RSS and CPU of the worker, from /proc
trimlog   what libautotrim wrote to the server's log
measure   one run: server, load, samples and log together
report    the table
plot      RSS over requests, as PNG and in the terminal
"""
