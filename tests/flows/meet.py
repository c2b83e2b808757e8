"""Bob, who is in a world by matrix-nio alone: he reads what is said there, and answers.

    meet.py join STATE URL WORLD            he makes an account and joins the room of the world
    meet.py talk STATE URL SAYS HEARS...    all of HEARS reaches him; then he says SAYS

STATE is a file that carries who he is from the first phase to the second.
"""

import asyncio
import json
import sys

import nio

PASSWORD = "correct horse battery staple"
SYNC_WAIT_MS = 3_000
SYNC_ROUNDS = 10


def good(response):
    """Passes a response on unless it is one of nio's errors."""
    if isinstance(response, nio.ErrorResponse):
        raise AssertionError(f"{type(response).__name__}: {response.status_code} {response.message}")
    return response


def client(url):
    config = nio.AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0, encryption_enabled=False)
    return nio.AsyncClient(url, "bob", config=config)


async def join(bob, state_file, world):
    good(await bob.register("bob", PASSWORD))
    room = good(await bob.join(world)).room_id
    seen = good(await bob.sync(timeout=0, full_state=True))
    # A room of another server comes in when its server has told the rest of it.
    for _ in range(SYNC_ROUNDS):
        if room in seen.rooms.join:
            break
        seen = good(await bob.sync(timeout=SYNC_WAIT_MS))
    else:
        raise AssertionError(f"Bob is not in {room}")
    state = {
        "user_id": bob.user_id,
        "device_id": bob.device_id,
        "token": bob.access_token,
        "next_batch": seen.next_batch,
        "room": room,
    }
    with open(state_file, "w", encoding="utf-8") as file:
        json.dump(state, file)


async def talk(bob, state_file, says, *hears):
    with open(state_file, encoding="utf-8") as file:
        state = json.load(file)
    bob.restore_login(state["user_id"], state["device_id"], state["token"])
    bob.next_batch = state["next_batch"]
    missing = list(hears)
    for _ in range(SYNC_ROUNDS):
        joined = good(await bob.sync(timeout=SYNC_WAIT_MS)).rooms.join.get(state["room"])
        events = joined.timeline.events if joined else []
        heard = [event.body for event in events if isinstance(event, nio.RoomMessageText)]
        missing = [line for line in missing if line not in heard]
        if not missing:
            break
    if missing:
        raise AssertionError(f"Bob never heard {missing}")
    content = {"msgtype": "m.text", "body": says}
    good(await bob.room_send(state["room"], "m.room.message", content))


async def run(phase, state_file, url, *rest):
    # nio puts its paths, which begin with a slash, right behind the address.
    bob = client(url.rstrip("/"))
    try:
        await {"join": join, "talk": talk}[phase](bob, state_file, *rest)
    finally:
        await bob.close()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
