// Asks the node for news, again and again, for as long as the device works.
import { ApiError, ask } from "../api/http";

/** An event as the client-server API writes it, of a room, of an account or to a device. */
export interface RawEvent {
  type: string;
  event_id?: string;
  sender?: string;
  origin_server_ts?: number;
  state_key?: string;
  redacts?: string;
  content: Record<string, unknown>;
  unsigned?: Record<string, unknown>;
}

interface Events {
  events?: RawEvent[];
}

export interface JoinedRoom {
  state?: Events;
  timeline?: Events & { limited?: boolean; prev_batch?: string };
  summary?: { "m.heroes"?: string[]; "m.joined_member_count"?: number; "m.invited_member_count"?: number };
  unread_notifications?: { notification_count?: number };
}

export interface Answer {
  next_batch: string;
  account_data?: Events;
  presence?: Events;
  to_device?: Events;
  device_lists?: { changed?: string[]; left?: string[] };
  device_one_time_keys_count?: Record<string, number>;
  device_unused_fallback_key_types?: string[];
  rooms?: {
    join?: Record<string, JoinedRoom>;
    invite?: Record<string, { invite_state?: Events }>;
    leave?: Record<string, object>;
  };
}

const WAIT_MS = 30_000;
/** The node answers a little later than it is asked to. */
const ANSWER_MS = WAIT_MS + 20_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** Members who do not speak are asked for where they are needed; who types is not shown. */
const FILTER = JSON.stringify({
  room: {
    timeline: { limit: 30, lazy_load_members: true },
    state: { lazy_load_members: true },
    ephemeral: { not_types: ["*"] },
  },
});

/** Gives every answer of the node to `take`, one after the other; fails where the account or the library is lost. */
export async function listen(
  token: string,
  signal: AbortSignal,
  take: (answer: Answer) => Promise<void>,
): Promise<void> {
  let since: string | null = null;
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    try {
      const asked = new URLSearchParams({ filter: FILTER, timeout: String(since === null ? 0 : WAIT_MS) });
      if (since !== null) asked.set("since", since);
      const path = `/_matrix/client/v3/sync?${asked}`;
      const answer: Answer = await ask("GET", path, { token, signal, timeoutMs: ANSWER_MS });
      await take(answer);
      since = answer.next_batch;
      retryMs = FIRST_RETRY_MS;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === 401) throw error;
      // After that nothing in the library can be relied on.
      if (error instanceof WebAssembly.RuntimeError) throw error;
      console.warn("news could not be asked for", error);
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
    }
  }
}
