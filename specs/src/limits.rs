//! Every bound that is visible from outside, with its unit and its source.

/// Largest PDU in bytes of canonical JSON, signatures included (client-server API, size limits).
pub const EVENT_BYTES: usize = 65_535;
/// Largest sender, room id, event type, state key or event id in bytes (client-server API, size limits).
pub const ID_BYTES: usize = 255;
/// Largest JSON body of an ordinary client request in bytes: an event with room for its envelope.
pub const REQUEST_BYTES: usize = 128 * 1024;
/// Largest JSON body of a request that names many things (createRoom, filters, account data) in bytes.
pub const LARGE_REQUEST_BYTES: usize = 1024 * 1024;
/// Largest transaction of another server in bytes: as many events and others as it may hold, each as
/// large as it may be, with what servers write beside them.
pub const TRANSACTION_BYTES: usize = 12 * 1024 * 1024;
/// Deepest nesting of a JSON body.
pub const JSON_DEPTH: usize = 100;
/// Largest profile of one person in bytes of canonical JSON (client-server API, profiles).
pub const PROFILE_BYTES: usize = 65_536;
/// Most events of one `/messages` or `/context` answer.
pub const PAGE_EVENTS: u32 = 500;
/// Most timeline events of one room in one `/sync` answer.
pub const SYNC_TIMELINE_EVENTS: u32 = 100;
/// An answer of `/sync` that has come to so many bytes of events takes in no further room: asking on
/// gives the others.
pub const SYNC_BYTES: usize = 8 * 1024 * 1024;
/// Longest wait of one `/sync` in milliseconds.
pub const SYNC_WAIT_MS: u64 = 90_000;
/// Most devices of one account: the one that was seen last longest ago gives way.
pub const DEVICES_PER_USER: i64 = 100;
/// Most one-time keys of one device, of all algorithms together.
pub const ONE_TIME_KEYS_PER_DEVICE: i64 = 500;
/// Most devices of somebody of another server that are kept: more are no answer.
pub const REMOTE_DEVICES: usize = 1_000;
/// Longest id of a message to devices among servers, in letters (server-server API, `m.direct_to_device`).
pub const LETTER_ID_CHARS: usize = 32;
/// Most people whose keys one request asks for.
pub const KEYS_QUERY_PEOPLE: usize = 2_000;
/// Largest published one-time key, and key of a backup, in bytes.
pub const KEY_BYTES: usize = 8 * 1024;
/// Most messages that wait for one device: the oldest give way.
pub const LETTERS_PER_DEVICE: i64 = 20_000;
/// Most messages of one sender that wait for one device: the oldest of theirs give way.
pub const LETTERS_OF_SENDER: i64 = 5_000;
/// Most bytes of these.
pub const LETTER_BYTES_OF_SENDER: i64 = 16 * 1024 * 1024;
/// Most answers to transactions of one server that are remembered: it repeats the last, if any.
pub const ANSWERS_OF_SERVER: i64 = 1_000;
/// Most ids of messages to devices that are remembered of one server, so that none is left twice.
pub const LETTER_IDS_OF_SERVER: i64 = 20_000;
/// Most messages to devices that wait for one server, of all senders: the oldest give way.
pub const WAITING_LETTERS: i64 = 20_000;
/// Most bytes of these.
pub const WAITING_LETTER_BYTES: i64 = 128 * 1024 * 1024;
/// Most events that wait singly for a server that does not answer: beyond, it gets of each room what is
/// newest when it is back, and asks for the rest.
pub const WAITING_EVENTS: i64 = 1_000;
/// The same for one that answers, and only takes less than is said.
pub const WAITING_EVENTS_MOST: i64 = 20_000;
/// Most rooms in which nobody of a server is any more, of which it still waits to hear that.
pub const WAITING_ROOMS_LEFT: i64 = 1_000;
/// How long a server that has never answered is tried, in milliseconds, where nobody of it is in a room:
/// then its name is forgotten, with what waits for it.
pub const NEVER_MET_MS: i64 = 3 * 24 * 60 * 60 * 1_000;
/// Most servers that are remembered without their ever having answered, where nobody of them is in a room.
pub const NEVER_MET: i64 = 10_000;
/// Most keys that are remembered of servers of whom nobody was ever in a room.
pub const STRANGERS_KEYS: i64 = 10_000;
/// How long these are remembered since they were fetched, in milliseconds: for no longer are they believed.
pub const STRANGERS_KEYS_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Most bytes that one request leaves for all the devices that it names.
pub const LETTER_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;
/// Most messages from device to device in one answer of `/sync`.
pub const SYNC_LETTERS: i64 = 100;
/// Most messages from device to device in one request.
pub const LETTERS_AT_ONCE: usize = 5_000;
/// Most keys in one backup.
pub const BACKUP_KEYS: i64 = 500_000;
/// Most push rules of one account, those that everybody has included.
pub const PUSH_RULES: usize = 1_000;
/// Largest set of push rules of one account, in bytes of JSON.
pub const PUSH_RULES_BYTES: usize = 256 * 1024;
/// Most passkeys of one account.
pub const PASSKEYS_PER_USER: i64 = 20;
/// Most accounts elsewhere by which one account may be known.
pub const LINKS_PER_USER: i64 = 20;
/// Longest id of a credential in bytes (Web Authentication, credential id).
pub const CREDENTIAL_ID_BYTES: usize = 1_023;
/// Largest public key of a passkey in bytes, with all that is remembered of it.
pub const CREDENTIAL_BYTES: usize = 16 * 1024;
/// Most addresses of e-mail of one account.
pub const EMAILS_PER_USER: i64 = 10;
/// Longest address of e-mail in bytes (RFC 5321).
pub const EMAIL_BYTES: usize = 254;
/// Longest address of a page that is previewed, in bytes.
pub const URL_BYTES: usize = 2_048;
/// Most pushers of one account.
pub const PUSHERS_PER_USER: i64 = 50;
/// Longest id of an application that is pushed to, in letters (client-server API, `POST /pushers/set`).
pub const APP_ID_CHARS: usize = 64;
/// Longest key of a pusher in bytes (client-server API, `POST /pushers/set`).
pub const PUSHKEY_BYTES: usize = 512;
/// Largest data of a pusher in bytes of JSON.
pub const PUSHER_DATA_BYTES: usize = 16 * 1024;
/// Most notifications in one answer.
pub const NOTIFICATIONS: usize = 200;
/// Most filters stored for one account.
pub const FILTERS_PER_USER: i64 = 200;
/// How long a request is known by its transaction id, in milliseconds: repeated later, it is a new one.
pub const TRANSACTION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Most items of account data of one account, those of rooms included.
pub const ACCOUNT_DATA_ITEMS: i64 = 20_000;
/// Most bytes of all account data of one account, types included.
pub const ACCOUNT_DATA_BYTES: i64 = 8 * 1024 * 1024;
/// Most receipts of one person in threads of one room: the oldest give way.
pub const THREAD_RECEIPTS_PER_USER: i64 = 200;
/// Most people invited by one createRoom.
pub const INVITES_PER_CREATE: usize = 100;
/// Most initial state events of one createRoom.
pub const INITIAL_STATE_EVENTS: usize = 200;
/// Longest display name, device name or file name in bytes.
pub const NAME_BYTES: usize = 512;
/// Longest transaction id, device id or filter id in bytes.
pub const TOKEN_BYTES: usize = 255;
/// Most files of one account that have a name and no bytes yet.
pub const AWAITED_MEDIA_PER_USER: i64 = 100;
/// How long a file with a name may stay without bytes, in milliseconds.
pub const AWAITED_MEDIA_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longest wait of one download for a file that is still to come, in milliseconds.
pub const DOWNLOAD_WAIT_MS: u64 = 60_000;
/// Longest time a typing notice lasts in milliseconds.
pub const TYPING_MS: u64 = 120_000;
/// Longest status message of a presence in bytes.
pub const STATUS_BYTES: usize = 1_024;
/// Most forward extremities that one event names as its `prev_events` (room versions 10 to 12).
pub const PREV_EVENTS: usize = 20;
/// Most forward extremities of a room: an event that would be one more is not shown, and no extremity.
pub const FORWARD_EXTREMITIES: usize = 200;
/// Most bodies that one account keeps beside the generated ones.
pub const AVATARS_PER_USER: usize = 20;
/// Largest body that is uploaded, in bytes.
pub const AVATAR_BYTES: usize = 25 * 1024 * 1024;
/// Most people in one instance of a world.
pub const INSTANCE_PEOPLE: u16 = 1_000;
/// Farthest that a place in a world may be from its origin along an axis, in millimetres: what a pose
/// can say (specs/realtime.md, Poses).
pub const WORLD_REACH_MM: u64 = 16_777_000;
/// Most letters of the description of a world, in bytes.
pub const DESCRIPTION_BYTES: usize = 4_096;
/// Longest reason of a report in bytes.
pub const REASON_BYTES: usize = 4_096;
/// Most reports of one person in 24 hours.
pub const REPORTS_PER_DAY: i64 = 100;
/// Longest DID in bytes: a host, its path and what proves itself fit well.
pub const DID_BYTES: usize = 1_024;
/// Largest DID document in bytes of JSON (specs/identity.md, DIDs).
pub const DID_DOCUMENT_BYTES: usize = 64 * 1024;
/// Most verification methods, services, controllers or other names of one DID document, of each.
pub const DID_DOCUMENT_ITEMS: usize = 200;
/// Largest log of a did:webvh, in bytes of all its lines.
pub const DID_LOG_BYTES: usize = 2 * 1024 * 1024;
/// Longest entry of such a log in bytes.
pub const DID_ENTRY_BYTES: usize = 128 * 1024;
/// Most entries of such a log.
pub const DID_LOG_ENTRIES: usize = 1_000;
/// Largest file of witnesses' proofs of a did:webvh in bytes.
pub const DID_WITNESS_BYTES: usize = 512 * 1024;
/// Most witnesses, update keys, or hashes of the next, of a did:webvh at a time, of each.
pub const DID_PARAMETER_ITEMS: usize = 50;
/// Most watchers of one.
pub const DID_WATCHERS: usize = 5;
/// How far a clock elsewhere may be ahead of ours, in milliseconds, before what it dates is refused.
pub const CLOCK_SKEW_MS: i64 = 5 * 60 * 1_000;
/// Most persons of elsewhere of whom the newest version is remembered: those that nobody asked for the
/// longest are forgotten.
pub const SEEN_DIDS: i64 = 200_000;
/// Most friends of one person, those who were asked and those who ask among them.
pub const FRIENDS: i64 = 1_000;
/// Servers of friends that keep copies of what somebody needs to come back without their home.
pub const COPIES: usize = 8;
/// Largest luggage that is sealed for somebody, in bytes: a thousand friends and as many who are blocked.
pub const LUGGAGE_BYTES: usize = 512 * 1024;
/// Friends whom somebody has asked and who have not answered.
pub const FRIENDS_ASKED: usize = 100;
/// Most words of friendship that are looked at in the rooms of one person.
pub const FRIEND_WORDS: i64 = 4_000;
/// Most records of friendship of which it is remembered what came of looking into them.
pub const FRIEND_RECORDS: i64 = 100_000;
/// Most accounts of people of elsewhere that are remembered of those who were here: whoever was not for the
/// longest is forgotten, but for those who are shut out of a room.
pub const VISITORS: i64 = 200_000;
/// Most credentials that one person holds with their home, beside its word that they live there.
pub const HELD: i64 = 64;
/// Largest of them in bytes, as JSON.
pub const HELD_BYTES: usize = 16 * 1024;
/// Most badges of one person that others are shown.
pub const SHOWN_BADGES: usize = 4;
/// Most badges that a node gives.
pub const BADGES: usize = 500;
/// Most credentials by one issuer that one person holds, but for those of their home.
pub const HELD_OF_ISSUER: usize = 16;
/// Most names that one person blocks, as a node of elsewhere is told.
pub const BLOCKS: usize = 2_000;
