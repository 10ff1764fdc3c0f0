"""WebSocket at both ends of a front door, by a library that knows nothing of it.

serve PORT                      an endpoint: echoes, in pieces where asked, closes as asked, and answers /health
torture URL CA MANY LARGEST     a client: every kind of message, then MANY connections at once
drain URL CA                    a client that is in the middle of it when the door drains; says "open" when it may begin

Nothing here measures time. Any mistake ends it with a traceback and status 1.
"""

import asyncio
import hashlib
import http
import os
import random
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

MIB = 1024 * 1024
# The edges of the lengths' forms (7, 16, 64 bits), of frames that cross our buffers, and one of each kind of long.
SIZES = [0, 1, 125, 126, 127, 4096, 16383, 16384, 65535, 65536, 65537, MIB, 16 * MIB]
CLOSE_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
LIMIT = 120


def pieces(message, count, rng):
    """The message in that many fragments, some of them empty."""
    cuts = sorted(rng.randrange(len(message) + 1) for _ in range(count - 1))
    return [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)])]


async def with_pings(socket, parts):
    """Fragments, with a ping between them: control frames may come there."""
    for index, part in enumerate(parts):
        if index:
            # Its pong may have to wait until what the other side has sent ahead is read.
            await socket.ping()
        yield part


async def with_pongs(socket, parts):
    """The same, and each goes on when the pong is there."""
    for index, part in enumerate(parts):
        if index:
            await (await socket.ping(os.urandom(index % 126)))
        yield part


# The endpoint.


def health(connection, request):
    if request.path == "/health":
        return connection.respond(http.HTTPStatus.OK, "well\n")
    return None


async def attend(socket):
    path = socket.request.path
    if path.startswith("/close/"):
        await socket.close(int(path.rsplit("/", 1)[1]), "as asked")
        return
    if path == "/hangs-up":
        await socket.recv()
        socket.transport.abort()
        return
    rng = random.Random(path)
    async for message in socket:
        if path == "/digest":
            await socket.send(hashlib.sha256(message).hexdigest())
        elif path == "/pieces" and len(message) < MIB:
            await socket.send(with_pings(socket, pieces(message, 7, rng)))
        else:
            await socket.send(message)


async def endpoint(port):
    options = {"max_size": 17 * MIB, "ping_interval": None, "open_timeout": None, "backlog": 2048}
    async with serve(attend, "127.0.0.1", port, process_request=health, **options):
        await asyncio.get_running_loop().create_future()


# The client.


class Door:
    def __init__(self, url, certificates):
        self.url, self.tls = url, ssl.create_default_context(cafile=certificates)

    def open(self, path, **options):
        options = {"max_size": 17 * MIB, "ping_interval": None, "compression": None, **options}
        # As a browser: no proxy of the environment's.
        return connect(self.url + path, ssl=self.tls, proxy=None, open_timeout=LIMIT, **options)


async def sizes(door, largest):
    for compression in [None, "deflate"]:
        for path in ["/echo", "/pieces"]:
            async with door.open(path, compression=compression) as socket:
                for size in [size for size in SIZES if size <= largest]:
                    sent = os.urandom(size)
                    await socket.send(sent)
                    assert await socket.recv() == sent, f"{size} bytes by {path}"
                    text = "é" * (size // 2)
                    await socket.send(text)
                    assert await socket.recv() == text, f"{size} bytes of text by {path}"
    async with door.open("/digest") as socket:
        for size in [size for size in SIZES if size <= largest]:
            sent = os.urandom(size)
            await socket.send(sent)
            assert await socket.recv() == hashlib.sha256(sent).hexdigest(), f"{size} bytes arrive as others"


async def fragments(door):
    rng = random.Random(1)
    for path in ["/echo", "/pieces"]:
        async with door.open(path) as socket:
            for count in [1, 2, 3, 50, 500]:
                sent = os.urandom(rng.randrange(300_000))
                await socket.send(pieces(sent, count, rng))
                assert await socket.recv() == sent, f"{count} fragments by {path}"
            # Pongs are awaited there, so somebody must read meanwhile.
            sent = os.urandom(100_000)
            sending = asyncio.create_task(socket.send(with_pongs(socket, pieces(sent, 30, rng))))
            assert await socket.recv() == sent, f"fragments with pings between by {path}"
            await sending


async def closes(door):
    for code in CLOSE_CODES:
        async with door.open(f"/close/{code}") as socket:
            try:
                await socket.recv()
                raise AssertionError(f"{code}: a message came")
            except ConnectionClosed:
                pass
        assert (socket.close_code, socket.close_reason) == (code, "as asked"), f"{code} came as {socket.close_code}"
        async with door.open("/echo") as socket:
            await socket.close(code, "by the client")
        assert socket.close_code == code, f"{code} was answered by {socket.close_code}"
    # Without a word: this must not look like a close that was agreed on.
    async with door.open("/hangs-up") as socket:
        await socket.send("now")
        try:
            await socket.recv()
            raise AssertionError("a message came")
        except ConnectionClosed:
            assert socket.close_code == 1006, socket.close_code


async def one_of_many(door, n):
    rng = random.Random(n)
    async with door.open("/pieces" if n % 2 else "/echo") as socket:
        # Sent ahead, read behind: both directions are full at once.
        sent = [rng.randbytes(rng.choice([0, 10, 1000, 70_000])) for _ in range(20)]

        async def send():
            for message in sent:
                await socket.send(message)

        sending = asyncio.create_task(send())
        for index, message in enumerate(sent):
            assert await socket.recv() == message, f"connection {n}, message {index}"
        await sending


async def torture(door, many, largest):
    for part in [sizes(door, largest), fragments(door), closes(door)]:
        print(part.__name__, flush=True)
        await part
    at_once = asyncio.Semaphore(many)

    async def one(n):
        async with at_once:
            await one_of_many(door, n)

    await asyncio.gather(*(one(n) for n in range(many)))
    print(f"all of it passed, {many} connections at once, messages up to {largest} bytes")


async def drain(door):
    sockets = [await door.open("/echo") for _ in range(20)]
    for socket in sockets:
        await socket.send("before")
        assert await socket.recv() == "before"
    print("open", flush=True)
    # Until the door is closed to others.
    while True:
        try:
            async with door.open("/echo"):
                await asyncio.sleep(0.05)
        except (OSError, ConnectionClosed):
            break
    for round in range(20):
        for socket in sockets:
            await socket.send(f"in the drain {round}")
            assert await socket.recv() == f"in the drain {round}"
    for socket in sockets[:10]:
        await socket.close(1000)
        assert socket.close_code == 1000
    # The others stay until they are cut off, and see that it was no agreed end.
    for socket in sockets[10:]:
        try:
            await socket.recv()
            raise AssertionError("a message came")
        except ConnectionClosed:
            assert socket.close_code == 1006, socket.close_code
    print("drained: ten closed in peace, ten were cut")


def main(what, *rest):
    if what == "serve":
        asyncio.run(endpoint(int(rest[0])))
    elif what == "torture":
        url, certificates, many, largest = rest
        asyncio.run(torture(Door(url, certificates), int(many), int(largest)))
    elif what == "drain":
        asyncio.run(drain(Door(*rest)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
