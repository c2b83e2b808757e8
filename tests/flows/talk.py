"""Two people on one node, seen through matrix-nio: a client that other people wrote.

    talk.py before STATE URL    they register, meet in rooms of every version and talk
    talk.py after  STATE URL    after a restart of the node all of it is still there

STATE is a file that carries from the first phase to the second what must be found again.
"""

import asyncio
import io
import json
import struct
import sys
import zlib
from contextlib import asynccontextmanager
from urllib.parse import urlparse

import nio

PASSWORD = "correct horse battery staple"
# None asks for the node's default, which must be version 12.
ROOM_VERSIONS = [None, "10", "11"]
DEFAULT_ROOM_VERSION = "12"
MESSAGES = 30
PAGE = 7
MISSED = 5
PICTURE_SIDE = 200
THUMBNAIL_SIDE = 64
SYNC_WAIT_MS = 3_000
SYNC_ROUNDS = 10


def good(response):
    """Passes a response on unless it is one of nio's errors."""
    if isinstance(response, nio.ErrorResponse):
        raise AssertionError(f"{type(response).__name__}: {response.status_code} {response.message}")
    return response


def same(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def client(url, user, saved=None):
    config = nio.AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0, encryption_enabled=False)
    made = nio.AsyncClient(url, user, config=config)
    if saved:
        made.restore_login(saved["user_id"], saved["device_id"], saved["token"])
        made.next_batch = saved["next_batch"]
    return made


@asynccontextmanager
async def closing(*clients):
    try:
        yield
    finally:
        for each in clients:
            await each.close()


# ---- what they see ----


async def until(person, seen, what):
    """Syncs until `seen(response)` answers with something, and passes that on."""
    for _ in range(SYNC_ROUNDS):
        answer = seen(good(await person.sync(timeout=SYNC_WAIT_MS)))
        if answer:
            return answer
    raise AssertionError(f"{person.user_id} never saw {what}")


def timeline(response, room):
    joined = response.rooms.join.get(room)
    return joined.timeline.events if joined else []


def ephemeral(response, room, kind):
    joined = response.rooms.join.get(room)
    return [event for event in joined.ephemeral if isinstance(event, kind)] if joined else []


def bodies(events):
    return [event.body for event in events if isinstance(event, nio.RoomMessageText)]


async def history(person, room):
    """The bodies of a room's messages, oldest first, paged backwards in small pages."""
    newest_first, ids, start = [], [], None
    while True:
        page = good(await person.room_messages(room, start=start, limit=PAGE))
        newest_first += bodies(page.chunk)
        ids += [event.event_id for event in page.chunk]
        if not page.end:
            break
        if page.end == start:
            raise AssertionError(f"the page after {start} begins where it began")
        start = page.end
    same(len(ids), len(set(ids)), f"distinct events in the pages of {room}")
    return newest_first[::-1]


async def say(person, room, body):
    content = {"msgtype": "m.text", "body": body}
    return good(await person.room_send(room, "m.room.message", content)).event_id


# ---- pictures ----


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side):
    """A square picture with a gradient, so that scaling it has something to do."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(side) for value in (x % 256, y % 256, 128))
        for y in range(side)
    )
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


async def check_picture(person, mxc):
    whole = good(await person.download(mxc=mxc))
    same(whole.body == png(PICTURE_SIDE), True, "the picture comes back as it was sent")
    same(whole.content_type, "image/png", "type of the picture")

    place = urlparse(mxc)
    asked = (place.netloc, place.path.lstrip("/"), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    small = good(await person.thumbnail(*asked, method=nio.ResizingMethod.scale))
    if small.content_type == "image/png":
        width, height = struct.unpack(">II", small.body[16:24])
        same((width, height), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), "size of the thumbnail")
    same(small.content_type in ("image/png", "image/jpeg", "image/webp"), True, "type of the thumbnail")
    same(small.body != whole.body, True, "the thumbnail is another picture")


# ---- before ----


async def register(url, name):
    person = client(url, name)
    good(await person.register(name, PASSWORD, device_name="first"))
    # A second device by password: registration alone would not show that the password was kept.
    again = client(url, person.user_id)
    good(await again.login(PASSWORD, device_name="second"))
    same(again.user_id, person.user_id, "user after login")
    same(again.device_id != person.device_id, True, "a login makes a device of its own")
    await again.close()
    same(good(await person.whoami()).user_id, person.user_id, "whoami")
    return person


async def dress(alice, bob):
    """Alice gets a name and a face, and Bob sees both."""
    good(await alice.set_displayname("Alice of the Wayside"))
    uploaded, _ = await alice.upload(io.BytesIO(png(PICTURE_SIDE)), "image/png", "face.png",
                                     filesize=len(png(PICTURE_SIDE)))
    mxc = good(uploaded).content_uri
    good(await alice.set_avatar(mxc))
    await check_picture(bob, mxc)
    await check_profile(bob, alice.user_id, mxc)
    return mxc


async def check_profile(person, user, mxc):
    profile = good(await person.get_profile(user))
    same((profile.displayname, profile.avatar_url), ("Alice of the Wayside", mxc), "profile")


async def meet(alice, bob, version):
    """Makes a room, brings Bob in by an invitation, and returns the room's id."""
    created = good(await alice.room_create(name="The Wayside", room_version=version))
    room = created.room_id
    good(await alice.room_invite(room, bob.user_id))
    await until(bob, lambda seen: room in seen.rooms.invite, f"the invitation to {room}")
    good(await bob.join(room))
    await until(bob, lambda seen: room in seen.rooms.join, f"itself in {room}")

    create = good(await bob.room_get_state_event(room, "m.room.create")).content
    same(create.get("room_version"), version or DEFAULT_ROOM_VERSION, "version of the room")
    members = good(await bob.joined_members(room)).members
    same({member.user_id for member in members}, {alice.user_id, bob.user_id}, "members")
    return room


async def talk(alice, bob, room):
    """Both talk; each hears the other, a page at a time and live. Returns all that was said."""
    said = []
    for number in range(MESSAGES):
        speaker = alice if number % 2 == 0 else bob
        said.append(f"{number}: said by {speaker.user_id}")
        await say(speaker, room, said[-1])
    last = said[-1]
    await until(alice, lambda seen: last in bodies(timeline(seen, room)), "the last message")
    same(await history(bob, room), said, f"history of {room}")

    topic = f"the road in {room}"
    good(await alice.room_put_state(room, "m.room.topic", {"topic": topic}))
    await until(
        bob,
        lambda seen: [e for e in timeline(seen, room) if isinstance(e, nio.RoomTopicEvent) and e.topic == topic],
        "the topic",
    )
    return said


async def notice(alice, bob, room):
    """What is seen but not kept: typing, receipts, presence."""
    good(await bob.room_typing(room, True, timeout=20_000))
    await until(
        alice,
        lambda seen: any(bob.user_id in e.users for e in ephemeral(seen, room, nio.TypingNoticeEvent)),
        "Bob typing",
    )

    event = await say(alice, room, "have you read this?")
    good(await bob.update_receipt_marker(room, event))
    await until(
        alice,
        lambda seen: any(
            (receipt.event_id, receipt.user_id) == (event, bob.user_id)
            for e in ephemeral(seen, room, nio.ReceiptEvent)
            for receipt in e.receipts
        ),
        "Bob's receipt",
    )

    good(await bob.set_presence("online", "by the fire"))
    presence = good(await alice.get_presence(bob.user_id))
    same((presence.presence, presence.status_msg), ("online", "by the fire"), "presence")
    return "have you read this?"


async def before(url, state_file):
    alice, bob = await register(url, "alice"), await register(url, "bob")
    async with closing(alice, bob):
        avatar = await dress(alice, bob)
        rooms = {}
        for version in ROOM_VERSIONS:
            room = await meet(alice, bob, version)
            rooms[room] = await talk(alice, bob, room)
        first = next(iter(rooms))
        rooms[first].append(await notice(alice, bob, first))

        # Bob looks once more and then away: what Alice says now is what he must hear afterwards.
        caught_up = good(await bob.sync(timeout=0)).next_batch
        missed = {room: [f"missed {number} in {room}" for number in range(MISSED)] for room in rooms}
        for room, lines in missed.items():
            for line in lines:
                await say(alice, room, line)

        state = {"avatar": avatar, "rooms": rooms, "missed": missed, "people": {}}
        for name, person, token in (("alice", alice, None), ("bob", bob, caught_up)):
            state["people"][name] = {
                "user_id": person.user_id,
                "device_id": person.device_id,
                "token": person.access_token,
                "next_batch": token,
            }
    with open(state_file, "w", encoding="utf-8") as file:
        json.dump(state, file)


# ---- after ----


async def after(url, state_file):
    with open(state_file, encoding="utf-8") as file:
        state = json.load(file)
    people = state["people"]
    alice = client(url, people["alice"]["user_id"], people["alice"])
    bob = client(url, people["bob"]["user_id"], people["bob"])
    async with closing(alice, bob):
        # The token from before the restart gives what Bob missed: all of it, and nothing twice.
        seen = good(await bob.sync(timeout=0))
        for room, lines in state["missed"].items():
            same(bodies(timeline(seen, room)), lines, f"missed messages of {room}")
            same(seen.rooms.join[room].timeline.limited, False, "a gap in the timeline")
        again = good(await bob.sync(timeout=0))
        same(list(again.rooms.join), [], "rooms with news right after a sync")

        for room, said in state["rooms"].items():
            same(await history(bob, room), said + state["missed"][room], f"history of {room}")
            topic = good(await bob.room_get_state_event(room, "m.room.topic")).content
            same(topic["topic"], f"the road in {room}", "topic")
        await check_picture(bob, state["avatar"])
        await check_profile(bob, alice.user_id, state["avatar"])

        # And the talk goes on.
        room = next(iter(state["rooms"]))
        await say(alice, room, "good morning")
        await until(bob, lambda news: "good morning" in bodies(timeline(news, room)), "the morning")


def main():
    phase, state_file, url = sys.argv[1:]
    # nio puts its paths, which begin with a slash, right behind the address.
    url = url.rstrip("/")
    asyncio.run({"before": before, "after": after}[phase](url, state_file))


if __name__ == "__main__":
    main()
