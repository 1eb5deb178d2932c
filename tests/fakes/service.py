"""The decision service's HTTP contract over real sockets: enough to play a world against. It shows the first arm that consent and surface allow."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

KEY = "rm_test_secret"


class FakeService:
    """Decisions by request id and outcomes by id, as a service keeps them. `choose` names the arm id for (member_id, surface, at), or "none"."""

    def __init__(self, choose: Callable[[str, str, str], str]) -> None:
        self.choose = choose
        self.decisions: dict[str, dict] = {}
        self.requests: dict[str, str] = {}
        self.outcomes: dict[str, dict] = {}
        self.calls: list[tuple[str, list]] = []
        self.fail_after = 10**9
        self.trouble: int | None = None
        """Status of every answer but each third one while set."""
        self.asked = self.busy = self.most = 0

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its URL."""
        loop, ready, port = asyncio.new_event_loop(), threading.Event(), []

        async def serve() -> None:
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            async with server:
                await stop.wait()

        stop = asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        ready.wait(60)
        try:
            yield f"http://127.0.0.1:{port[0]}"
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(60)
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()

    async def _connection(self, reader, writer) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            length = next(int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
            body = json.loads(await reader.readexactly(length))
            self.busy += 1
            self.most = max(self.most, self.busy)
            await asyncio.sleep(0.001)
            status, answer = self._answer(head.split(" ")[1], f"Bearer {KEY}" in head, body)
            self.busy -= 1
            whole = json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(whole)}\r\n\r\n".encode() + whole)
        writer.close()

    def _answer(self, path: str, known: bool, body) -> tuple[int, object]:
        self.asked += 1
        if not known:
            return 401, {"title": "Unauthorized", "detail": "Send a valid key."}
        if not body:
            return 422, {"title": "Invalid request", "detail": "There is nothing in it."}
        if self.trouble is not None and self.asked % 3:
            return self.trouble, {"title": "Trouble", "detail": "on purpose"}
        if self.asked > self.fail_after:
            return 500, {"title": "Broken", "detail": "on purpose"}
        return self._decide(body) if path == "/v1/decisions" else self._tell(body if isinstance(body, list) else [body])

    def _decide(self, body: dict) -> tuple[int, object]:
        self.calls.append(("decision", [body]))
        request = body["request_id"]
        if request not in self.requests:
            arm = self.choose(body["member_id"], body["surface"], body["at"])
            made = {"decision_id": f"s{len(self.decisions)}", "propensity": 0.25, "model_version": "3", "reason": "champion", "expires_at": body["at"]}
            factors = dict(zip(("product", "creative", "channel"), arm.split("."), strict=False))
            self.decisions[made["decision_id"]] = {**made, "arm": None if arm == "none" else {"arm_id": arm, **factors}, "asked": body}
            self.requests[request] = made["decision_id"]
        return 200, self.decisions[self.requests[request]]

    def _tell(self, items: list[dict]) -> tuple[int, object]:
        self.calls.append(("outcomes", items))
        refused = [
            {"index": i, "outcome_id": item["outcome_id"], "why": "unknown decision, or before it"}
            for i, item in enumerate(items)
            if item["decision_id"] not in self.decisions or item["occurred_at"] < self.decisions[item["decision_id"]]["asked"]["at"]
        ]
        if refused:
            return 422, {"title": "Some were refused", "refused": refused}
        new = {item["outcome_id"]: item for item in items if item["outcome_id"] not in self.outcomes}
        self.outcomes.update(new)
        return 200, {"accepted": len(new), "repeated": len(items) - len(new), "refused": []}
