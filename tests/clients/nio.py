"""Alice and Bob live with a node through matrix-nio, a client that other people wrote, with encryption.

    nio.py full URL FOLDER     all that the client can do
    nio.py smoke URL FOLDER    a message each way in an encrypted room
    nio.py across URL FOLDER OTHER VERSION
                               the same and more where Bob lives on the server OTHER, in a room of Alice's
    nio.py across-smoke URL FOLDER OTHER VERSION
                               a message each way between the two servers

FOLDER is where the devices keep their keys. Each run makes people of its own, so that a node may be
visited more than once.
"""

import asyncio
import io
import json
import secrets
import sys
import time

# The folder of this script comes first on the path, and the script bears the name of its client.
sys.path.pop(0)
import nio
from nio.api import RelationshipType
from nio.crypto import attachments

PASSWORD = "correct horse battery staple"
PASSPHRASE = "the keys of the Wayside"
# The work of deriving a key from a passphrase; a story needs no more than that it is done.
EXPORT_ROUNDS = 100
SYNC_WAIT_MS = 2_000
SOON_S = 20
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
FILE = bytes(range(256)) * 700
HALLO = "hallo from Alice"
ANSWER = "and hallo from Bob"
EDITED = "and good day from Bob"
IN_THREAD = "by the way, in a thread"
NEWS = "this one is for all devices"
TICK = "\N{WHITE HEAVY CHECK MARK}"

begun = time.monotonic()
devices = []


def done(what):
    print(f"{time.monotonic() - begun:6.2f} s  {what}", flush=True)


def good(response):
    """Passes a response on unless it is one of nio's errors."""
    if isinstance(response, nio.ErrorResponse):
        raise AssertionError(f"{type(response).__name__}: {response.status_code} {response.message}")
    return response


def same(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(f"not so: {what}")


# ---- people and what they see ----


def device(url, user, folder):
    config = nio.AsyncClientConfig(
        max_limit_exceeded=0, max_timeouts=0, encryption_enabled=True, store_sync_tokens=True
    )
    made = nio.AsyncClient(url, user, store_path=folder, config=config)
    devices.append(made)
    return made


async def register(url, name, folder):
    """A new person, on a device of a second login: the first proves only that accounts are made."""
    first = device(url, name, folder)
    good(await first.register(name, PASSWORD, device_name="first"))
    again = await log_in(url, first.user_id, folder, "second")
    same(again.user_id, first.user_id, "user after login")
    holds(again.device_id != first.device_id, "a login makes a device of its own")
    good(await first.logout())
    return again


async def log_in(url, user_id, folder, name):
    person = device(url, user_id, folder)
    good(await person.login(PASSWORD, device_name=name))
    await look(person, wait_ms=0)
    return person


async def look(person, wait_ms=SYNC_WAIT_MS):
    """Syncs once and does what encryption asks for, as nio's own loop does."""
    for sent in await person.send_to_device_messages():
        good(sent)
    seen = good(await person.sync(timeout=wait_ms))
    for sent in await person.send_to_device_messages():
        good(sent)
    if person.should_upload_keys:
        good(await person.keys_upload())
    if person.should_query_keys:
        good(await person.keys_query())
    if person.should_claim_keys:
        good(await person.keys_claim(person.get_users_for_key_claiming()))
    return seen


async def until(person, seen, what):
    """Looks until `seen(response)` answers with something, and passes that on."""
    last = time.monotonic() + SOON_S
    while time.monotonic() < last:
        answer = seen(await look(person))
        if answer:
            return answer
    raise AssertionError(f"{person.user_id} on {person.device_id} never saw {what}")


async def until_both(one, other, condition, what):
    """Lets two devices look in turn until something holds."""
    last = time.monotonic() + SOON_S
    while not condition():
        holds(time.monotonic() < last, what)
        for person in (one, other):
            await look(person, wait_ms=200)


def timeline(seen, room, kind=nio.Event):
    joined = seen.rooms.join.get(room)
    return [event for event in joined.timeline.events if isinstance(event, kind)] if joined else []


def ephemeral(seen, room, kind):
    joined = seen.rooms.join.get(room)
    return [event for event in joined.ephemeral if isinstance(event, kind)] if joined else []


def plain(events, body):
    """The message of these words, if it is among the events and came encrypted."""
    found = [event for event in events if isinstance(event, nio.RoomMessage) and event.body == body]
    holds(all(event.decrypted for event in found), f"{body!r} came encrypted")
    return found[0] if found else None


async def hear(person, room, body):
    return await until(person, lambda seen: plain(timeline(seen, room), body), f"the message {body!r}")


async def say(person, room, body, **more):
    content = {"msgtype": "m.text", "body": body, **more}
    return good(await person.room_send(room, "m.room.message", content)).event_id


async def kept(person, room, event_id):
    """An event as the server has it: what nio itself asks for, before it decrypts the answer."""
    answer = await person.send(*nio.Api.room_get_event(person.access_token, room, event_id))
    same(answer.status, 200, f"status of the event {event_id}")
    return await answer.json()


def gathered(event, kind):
    """What the server tells with an event of those that relate to it."""
    found = event.get("unsigned", {}).get("m.relations", {}).get(kind)
    holds(found, f"the server gathers {kind} with {event['event_id']}")
    return found


async def check_sealed(person, room, event_id, body):
    """The server holds the ciphertext of a message, and nothing of its words."""
    event = await kept(person, room, event_id)
    same(event["type"], "m.room.encrypted", "type of the event on the server")
    same(event["content"]["algorithm"], "m.megolm.v1.aes-sha2", "algorithm")
    holds(body not in json.dumps(event, ensure_ascii=False), f"the server cannot read {body!r}")


# ---- the story, part by part ----


async def meet(alice, bob):
    """An encrypted room of Alice's, to which Bob comes by an invitation."""
    made = good(await alice.room_create(name="A quiet room", initial_state=[ENCRYPTION]))
    room = made.room_id
    good(await alice.room_invite(room, bob.user_id))
    await until(bob, lambda seen: room in seen.rooms.invite, f"the invitation to {room}")
    same(bob.invited_rooms[room].inviter, alice.user_id, "who invites")
    good(await bob.join(room))
    await until(bob, lambda seen: room in seen.rooms.join, f"itself in {room}")
    await until_both(
        alice, bob, lambda: all(knows(*pair) for pair in ((alice, bob), (bob, alice))), "both know the other's device"
    )
    for person in (alice, bob):
        holds(person.rooms[room].encrypted, f"{person.user_id} knows that the room is encrypted")
    done("an encrypted room, an invitation, two members who know each other's devices")
    return room


def knows(person, other):
    return other.device_id in person.device_store[other.user_id]


async def verify(one, other):
    """Two devices compare emoji, by messages from device to device."""
    good(await one.start_key_verification(one.device_store[other.user_id][other.device_id]))
    mine = one.get_active_sas(other.user_id, other.device_id)
    number = mine.transaction_id
    await until(other, lambda _: number in other.key_verifications, "the start of a verification")
    theirs = other.key_verifications[number]
    good(await other.accept_key_verification(number))
    await until_both(one, other, lambda: mine.established_sas and theirs.established_sas, "both have the other's key")
    same(mine.get_emoji(), theirs.get_emoji(), "emoji on both devices")
    good(await one.confirm_short_auth_string(number))
    good(await other.confirm_short_auth_string(number))
    await until_both(one, other, lambda: mine.verified and theirs.verified, "both devices have verified the other")
    holds(one.device_store[other.user_id][other.device_id].verified, "the other's device is verified")
    holds(other.device_store[one.user_id][one.device_id].verified, "and so is one's own on the other's side")
    done(f"{other.device_id} of {other.user_id} is verified by emoji")


async def is_refused(person, room):
    """nio sends nothing to a device that nobody has verified, so it must know of that device."""
    try:
        await say(person, room, "nobody shall hear this")
    except nio.OlmUnverifiedDeviceError:
        return True
    return False


async def talk(alice, bob, room):
    """A message each way, plain only to those two."""
    hallo = await say(alice, room, HALLO)
    same((await hear(bob, room, HALLO)).event_id, hallo, "id of the message")
    answer = await say(bob, room, ANSWER)
    same((await hear(alice, room, ANSWER)).sender, bob.user_id, "sender of the answer")
    await check_sealed(bob, room, hallo, HALLO)
    await check_sealed(alice, room, answer, ANSWER)
    done("a message each way, encrypted on the server")
    return hallo, answer


async def relate(alice, bob, room, hallo, answer):
    """An edit, a reaction, a thread and a redaction, seen by the other and gathered by the server."""
    relation = {"rel_type": "m.replace", "event_id": answer}
    new = {"msgtype": "m.text", "body": EDITED}
    edit = await say(bob, room, f"* {EDITED}", **{"m.new_content": new, "m.relates_to": relation})
    content = (await hear(alice, room, f"* {EDITED}")).source["content"]
    same(content["m.new_content"]["body"], EDITED, "words of the edit")
    same(content["m.relates_to"], relation, "what the edit replaces")
    bundled = gathered(await kept(alice, room, answer), "m.replace")
    same(bundled["event_id"], edit, "the edit that the server gathers")
    done("an edit")

    relation = {"rel_type": "m.annotation", "event_id": hallo, "key": TICK}
    good(await bob.room_send(room, "m.reaction", {"m.relates_to": relation}))
    wanted = (hallo, TICK)
    await until(
        alice,
        lambda seen: wanted in [(e.reacts_to, e.key) for e in timeline(seen, room, nio.ReactionEvent)],
        "Bob's reaction",
    )
    kind = RelationshipType.annotation
    reactions = [event async for event in alice.room_get_event_relations(room, hallo, kind, "m.reaction")]
    same([event.key for event in reactions], [TICK], "reactions on the server")
    done("a reaction")

    relation = {"rel_type": "m.thread", "event_id": hallo, "is_falling_back": True}
    relation["m.in_reply_to"] = {"event_id": hallo}
    reply = await say(bob, room, IN_THREAD, **{"m.relates_to": relation})
    heard = await hear(alice, room, IN_THREAD)
    same(heard.source["content"]["m.relates_to"], relation, "what the reply belongs to")
    roots = {event.event_id: event.source async for event in alice.room_get_threads(room)}
    same(list(roots), [hallo], "roots of the threads")
    thread = gathered(roots[hallo], "m.thread")
    same((thread["count"], thread["latest_event"]["event_id"]), (1, reply), "the thread on the server")
    kind = RelationshipType.thread
    replies = [event async for event in alice.room_get_event_relations(room, hallo, kind)]
    same([event.event_id for event in replies], [reply], "replies on the server")
    done("a reply in a thread")

    unwise = await say(alice, room, "I should not have said that")
    await hear(bob, room, "I should not have said that")
    good(await alice.room_redact(room, unwise, reason="unwise"))
    await until(
        bob,
        lambda seen: [e for e in timeline(seen, room, nio.RedactionEvent) if e.redacts == unwise],
        "the redaction",
    )
    holds("ciphertext" not in (await kept(bob, room, unwise))["content"], "a redacted event is empty")
    done("a redaction")


async def share_files(alice, bob, room):
    """A file that only the room can read, and one that the server can read too."""
    uploaded, keys = await alice.upload(
        io.BytesIO(FILE), "text/plain", "secret.txt", encrypt=True, filesize=len(FILE)
    )
    url = good(uploaded).content_uri
    content = {"msgtype": "m.file", "body": "secret.txt", "file": {"url": url, **keys}, "info": {"size": len(FILE)}}
    good(await alice.room_send(room, "m.room.message", content))
    event = await hear(bob, room, "secret.txt")
    holds(isinstance(event, nio.RoomEncryptedFile), "the file came with its keys")
    stored = good(await bob.download(mxc=event.url)).body
    holds(stored != FILE and len(stored) == len(FILE), "the server holds the file encrypted")
    opened = attachments.decrypt_attachment(stored, event.key["k"], event.hashes["sha256"], event.iv)
    holds(opened == FILE, "the file is decrypted to what was sent")
    done("an encrypted file")

    uploaded, _ = await bob.upload(io.BytesIO(FILE), "text/x-wayside", "open.txt", filesize=len(FILE))
    whole = good(await alice.download(mxc=good(uploaded).content_uri))
    holds(whole.body == FILE, "a plain file comes back as it was sent")
    same((whole.content_type, whole.filename), ("text/x-wayside", "open.txt"), "type and name of the plain file")
    done("a plain file")


async def notice(alice, bob, room):
    """What is seen but not kept: presence, typing, receipts; and the counts that receipts set to 0."""
    good(await bob.set_presence("unavailable", "by the fire"))
    wanted = (bob.user_id, "unavailable", "by the fire")
    await until(
        alice,
        lambda seen: wanted in [(e.user_id, e.presence, e.status_msg) for e in seen.presence_events],
        "Bob's presence",
    )
    done("presence")

    good(await bob.room_typing(room, True, timeout=20_000))
    await until(
        alice,
        lambda seen: [e for e in ephemeral(seen, room, nio.TypingNoticeEvent) if e.users == [bob.user_id]],
        "Bob typing",
    )
    good(await bob.room_typing(room, False))
    await until(
        alice,
        lambda seen: [e for e in ephemeral(seen, room, nio.TypingNoticeEvent) if e.users == []],
        "Bob no longer typing",
    )
    done("typing")

    event = await say(alice, room, "have you read this?")
    await hear(bob, room, "have you read this?")
    holds(bob.rooms[room].unread_notifications > 0, "Bob has unread messages")
    good(await bob.room_read_markers(room, event, event))
    wanted = (event, bob.user_id, "m.read")
    await until(
        alice,
        lambda seen: wanted
        in [
            (receipt.event_id, receipt.user_id, receipt.receipt_type)
            for e in ephemeral(seen, room, nio.ReceiptEvent)
            for receipt in e.receipts
        ],
        "Bob's receipt",
    )
    await until(bob, lambda _: bob.rooms[room].unread_notifications == 0, "that it has read everything")
    same(bob.rooms[room].fully_read_marker, event, "the marker of what Bob has read")
    done("receipts, and the count of unread messages")


async def history(person, room):
    """The events of a room, oldest first, and those that are plain decrypted."""
    page = good(await person.room_messages(room, limit=100))
    return page.chunk[::-1]


async def move(alice, bob, room, url, folder):
    """Bob takes a second device: it is seen, gets what is said from then on, and the rest by a file of keys."""
    other = await log_in(url, bob.user_id, folder, "third")
    await until(alice, lambda _: knows(alice, other), "Bob's new device")
    holds(await is_refused(alice, room), "nothing is sent to a device that is not verified")
    done("a new login is seen by the other")

    await until(other, lambda _: alice.user_id in other.device_store.users, "the devices of Alice")
    await verify(alice, other)
    await say(alice, room, NEWS)
    for each in (bob, other):
        await hear(each, room, NEWS)
    done("the next message is for the new device too")

    sealed = [event for event in await history(other, room) if isinstance(event, nio.MegolmEvent)]
    holds(sealed, "the new device cannot read what was said before it came")
    keys = f"{folder}/{bob.device_id}.keys"
    await bob.export_keys(keys, PASSPHRASE, EXPORT_ROUNDS)
    await other.import_keys(keys, PASSPHRASE)
    read = await history(other, room)
    same([e.event_id for e in read if isinstance(e, nio.MegolmEvent)], [], "events that stay sealed")
    for body in (HALLO, ANSWER, IN_THREAD):
        holds(plain(read, body), f"the new device reads {body!r}")
    done("keys exported by one device and imported by the other open the history")
    return other


async def devices_of(person):
    return {each.id for each in good(await person.devices()).devices}


async def delete_device(alice, bob, other):
    """Bob throws his old device out, by his password; it is gone for him, for itself and for Alice."""
    asked = good(await other.delete_devices([bob.device_id]))
    holds(isinstance(asked, nio.DeleteDevicesAuthResponse), "deleting a device asks who is there")
    holds(["m.login.password"] in [flow["stages"] for flow in asked.flows], "a password will do")
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": other.user_id},
        "password": "not the password",
        "session": asked.session,
    }
    await other.delete_devices([bob.device_id], auth)
    holds(bob.device_id in await devices_of(other), "a wrong password deletes nothing")
    auth["password"] = PASSWORD
    good(await other.delete_devices([bob.device_id], auth))
    same(await devices_of(other), {other.device_id}, "devices that are left")
    await check_stranger(bob)
    await until(
        alice,
        lambda _: bob.device_id not in {each.id for each in alice.device_store.active_user_devices(bob.user_id)},
        "that the device is gone",
    )
    done("a device deleted by password")


async def check_stranger(person):
    """The token of a device that is gone is worth nothing."""
    same(getattr(await person.whoami(), "status_code", None), "M_UNKNOWN_TOKEN", "what a device that is gone is told")


async def leave(*people):
    for person in people:
        token = person.access_token
        good(await person.logout())
        person.access_token = token
        await check_stranger(person)
    done("everybody has logged out")


async def arrive(url, folder):
    run = secrets.token_hex(3)
    alice = await register(url, f"alice-{run}", folder)
    bob = await register(url, f"bob-{run}", folder)
    done(f"{alice.user_id} and {bob.user_id} are registered and logged in")
    return alice, bob


async def full(url, folder):
    alice, bob = await arrive(url, folder)
    room = await meet(alice, bob)
    holds(await is_refused(alice, room), "nothing is sent to a device that is not verified")
    await verify(alice, bob)
    hallo, answer = await talk(alice, bob, room)
    await relate(alice, bob, room, hallo, answer)
    await share_files(alice, bob, room)
    await notice(alice, bob, room)
    other = await move(alice, bob, room, url, folder)
    await delete_device(alice, bob, other)
    await leave(alice, other)


async def smoke(url, folder):
    alice, bob = await arrive(url, folder)
    room = await meet(alice, bob)
    await verify(alice, bob)
    await talk(alice, bob, room)
    await leave(alice, bob)


async def come_across(alice, bob, version):
    """An encrypted room of Alice's, into which Bob comes from another server."""
    alias = f"quiet-{secrets.token_hex(3)}"
    preset = nio.RoomPreset.public_chat
    made = await alice.room_create(alias=alias, preset=preset, room_version=version, initial_state=[ENCRYPTION])
    room = good(made).room_id
    home = alice.user_id.partition(":")[2]
    good(await bob.join(f"#{alias}:{home}"))
    await until_both(
        alice,
        bob,
        lambda: room in bob.rooms and all(knows(*pair) for pair in ((alice, bob), (bob, alice))),
        "both know the other's device",
    )
    for person in (alice, bob):
        holds(person.rooms[room].encrypted, f"{person.user_id} knows that the room is encrypted")
    done(f"an encrypted room of version {version}, two members of two servers who know each other's devices")
    return room


async def arrive_apart(url, folder, other_url):
    run = secrets.token_hex(3)
    alice = await register(url, f"alice-{run}", folder)
    bob = await register(other_url.rstrip("/"), f"bob-{run}", folder)
    return alice, bob


async def across(url, folder, other_url, version):
    alice, bob = await arrive_apart(url, folder, other_url)
    room = await come_across(alice, bob, version)
    holds(await is_refused(alice, room), "nothing is sent to a device that is not verified")
    await verify(alice, bob)
    await talk(alice, bob, room)
    # A second device of Bob's reads this one too, from a file of keys.
    await say(alice, room, IN_THREAD)
    await hear(bob, room, IN_THREAD)
    await notice(alice, bob, room)
    await notice(bob, alice, room)
    other = await move(alice, bob, room, other_url.rstrip("/"), folder)
    await delete_device(alice, bob, other)
    await leave(alice, other)


async def across_smoke(url, folder, other_url, version):
    alice, bob = await arrive_apart(url, folder, other_url)
    room = await come_across(alice, bob, version)
    await verify(alice, bob)
    await talk(alice, bob, room)
    await leave(alice, bob)


EXTENTS = {"full": full, "smoke": smoke, "across": across, "across-smoke": across_smoke}


async def tell(extent, url, *more):
    try:
        # nio puts its paths, which begin with a slash, right behind the address.
        await EXTENTS[extent](url.rstrip("/"), *more)
    finally:
        for each in devices:
            await each.close()


def main():
    asyncio.run(tell(*sys.argv[1:]))


if __name__ == "__main__":
    main()
