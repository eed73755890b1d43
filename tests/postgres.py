"""A PostgreSQL server of a test's own, where Debian's packages are there."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest


def server_program(name):
    """A program of the PostgreSQL server; Debian has it outside of PATH."""
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    return shutil.which(name, path=path)


@contextlib.contextmanager
def postgres_server():
    """The address of a server that runs in a folder of its own."""
    make, serve = map(server_program, ("initdb", "postgres"))
    if not (make and serve):
        pytest.skip("no PostgreSQL server here (initdb, postgres)")
    pytest.importorskip("ase_db_backends", reason="no ase-db-backends")
    import psycopg2

    # The server refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        options = dict(user=user, cwd=folder, stdout=subprocess.DEVNULL)
        data = f"{folder}/data"
        initdb = [make, "-D", data, "-U", "me", "-A", "trust", "-N"]
        subprocess.run(initdb, check=True, **options)
        words = [serve, "-D", data, "-p", str(port), "-k", folder]
        server = subprocess.Popen(
            [*words, "-h", "127.0.0.1"], stderr=subprocess.DEVNULL, **options
        )
        address = f"postgresql://me@127.0.0.1:{port}/postgres"
        try:
            for _ in range(100):
                try:
                    psycopg2.connect(address).close()
                    break
                except psycopg2.OperationalError:
                    time.sleep(0.1)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)
