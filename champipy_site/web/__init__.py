"""The web process: waitress, with deadlines and limits for clients that are slow on purpose.

    python -m champipy_site.web --host 127.0.0.1 --port 8000

One thread receives all requests and sends all responses; a thread of WEB_THREADS works on a request
once it has arrived as a whole. So a slow client costs a connection, and never a thread.
docs/adr/0011-a-server-that-buffers.md says why.
"""
