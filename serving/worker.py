"""One worker process: it answers on the listening socket that all workers share."""

from __future__ import annotations

import os
import signal
import socket
import sys

import uvicorn

from serving.app import create
from serving.core import Core
from serving.logs import hear, say
from serving.quick import protocol
from serving.slow import Server
from training.bootstrap import platform
from training.config.settings import Settings

SWITCH_SECONDS = 5e-4
"""How long one thread may keep the others waiting; Python's default of 5 ms is many decisions."""


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve on the socket `listener` until SIGTERM. Raises whatever kept the core from starting."""
    from training.model.threads import steady

    steady()
    sys.setswitchinterval(SWITCH_SECONDS)
    wired = platform(settings)
    hear()
    core = Core(settings, wired.registry, wired.features)
    config = uvicorn.Config(
        create(core),
        http=protocol(core),
        log_config=None,  # `hear` has it
        ws="none",  # nobody here speaks WebSocket, and its connections are not those that are looked at
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # nobody here asks who the caller is
    )
    server = Server(config, settings.serving.request_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)  # uvicorn raises the signal once more when it has ended, which would end the process before its last line
    try:
        server.run(sockets=[listener])
    except SystemExit as end:
        raise core.failure or end from None
    say("worker ended", pid=os.getpid())
