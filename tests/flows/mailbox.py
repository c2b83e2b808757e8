"""A mail server on a free port: it takes what it is handed, and prints each mail as a line of JSON."""

import asyncio
import json
from email import message_from_bytes
from email.policy import default

from aiosmtpd.smtp import SMTP


class Mailbox:
    """Takes every mail but those to addresses that begin with `refused`."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 there is nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=default)
        told = {
            "to": envelope.rcpt_tos,
            "from": str(mail["from"]),
            "subject": str(mail["subject"]),
            "text": mail.get_content(),
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Mailbox()), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
