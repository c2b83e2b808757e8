"""DIDKit, which other people wrote, judges credentials of ours, and issues some for us to judge.

    oracle.py verify           reads a list on standard input, and prints what is wrong with each
    oracle.py issue SUBJECT DOMAIN CHALLENGE
                               prints a list of credentials about SUBJECT and of presentations by a key of its own

Each item of a list is an object with `format` (how it is secured), `document` (JSON, or the text of a token) and, for
a presentation, `domain` and `challenge`. `verify` answers with a list of the same length: null for an item that
verifies, else what DIDKit says against it.

DIDKit 0.3.3 is of the time of version 1.1 of the data model: it refuses documents under the context of version 2.0,
knows no Data Integrity proof, and no token without the claim `vc`, which VC-JOSE-COSE forbids. What it has in common
with the node are documents of version 1.1 with `Ed25519Signature2020`. The other formats it issues as well, so that a
story sees it if more becomes common.
"""

import asyncio
import json
import os
import sys

# A credential or presentation of a format takes milliseconds; what fetches something would take for ever.
LIMIT_S = 20
CONTEXT = "https://www.w3.org/2018/credentials/v1"
SUITE_CONTEXT = "https://w3id.org/security/suites/ed25519-2020/v1"
# What is asked of DIDKit for each format, by its name.
FORMATS = {
    "Ed25519Signature2020": {"type": "Ed25519Signature2020"},
    "Ed25519Signature2018": {"type": "Ed25519Signature2018"},
    "jwt": {"proofFormat": "jwt"},
}

# The folder of this script comes first on the path.
sys.path.pop(0)
import didkit


def purpose_of(item):
    """What a proof has to be for, and to whom."""
    if "challenge" not in item:
        return {"proofPurpose": "assertionMethod"}
    return {"proofPurpose": "authentication", "domain": item["domain"], "challenge": item["challenge"]}


async def fault(item):
    """What is wrong with an item, by DIDKit."""
    document, options = item["document"], purpose_of(item)
    if isinstance(document, str):
        options["proofFormat"] = "jwt"
    else:
        document = json.dumps(document)
    verify = didkit.verify_presentation if "challenge" in item else didkit.verify_credential
    try:
        result = json.loads(await verify(document, json.dumps(options)))
    # What it cannot even read it raises as a ValueError, all else as an exception of its own.
    except (ValueError, didkit.DIDKitException) as error:
        return f"{type(error).__name__}: {error}"
    if result["errors"]:
        return "; ".join(result["errors"])
    return None if result["checks"] else "nothing in it was checked"


def read(issued):
    return json.loads(issued) if issued.startswith("{") else issued


async def issued(subject, domain, challenge):
    """A credential and a presentation of it in each format, by a key that nobody has seen before."""
    key = didkit.generate_ed25519_key()
    did = didkit.key_to_did("key", key)
    method = await didkit.key_to_verification_method("key", key)
    items = []
    for name, options in FORMATS.items():
        credential = {
            "@context": [CONTEXT, SUITE_CONTEXT],
            "id": "urn:uuid:6f1b3a52-9c1f-4a1e-8f0a-0d2f5f1f9b11",
            "type": ["VerifiableCredential"],
            "issuer": did,
            "issuanceDate": "2026-01-01T00:00:00Z",
            "credentialSubject": {"id": subject},
        }
        item = {"format": name}
        options = {**options, "verificationMethod": method}
        claims = json.dumps({**options, **purpose_of(item)})
        document = await didkit.issue_credential(json.dumps(credential), claims, key)
        items.append({**item, "document": read(document)})
        presentation = {
            "@context": [CONTEXT, SUITE_CONTEXT],
            "type": ["VerifiablePresentation"],
            "holder": did,
            "verifiableCredential": read(document),
        }
        item |= {"domain": domain, "challenge": challenge}
        claims = json.dumps({**options, **purpose_of(item)})
        document = await didkit.issue_presentation(json.dumps(presentation), claims, key)
        items.append({**item, "document": read(document)})
    return items


async def faults(items):
    return [await fault(item) for item in items]


match sys.argv[1:]:
    case ["verify"]:
        deed = faults(json.load(sys.stdin))
    case ["issue", subject, domain, challenge]:
        deed = issued(subject, domain, challenge)
    case _:
        sys.exit(__doc__)
print(json.dumps(asyncio.run(asyncio.wait_for(deed, LIMIT_S))), flush=True)
# Its library brings the interpreter down when it is taken apart in order.
os._exit(0)
