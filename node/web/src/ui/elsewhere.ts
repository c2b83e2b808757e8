// Having something confirmed on the sign-in page, in a window of its own.
import { PasskeyError } from "../api/passkeys";

/** How often it is looked whether the page was closed, in milliseconds. */
const LOOK_MS = 500;

/** Opens the page for the session of a refusal, and waits until its person has confirmed it there. */
export function confirmOnPage(session: string): Promise<void> {
  const path = `/_matrix/client/v3/auth/m.login.sso/fallback/web?session=${encodeURIComponent(session)}`;
  const page = window.open(path, "wayside-confirm", "popup,width=480,height=760");
  return new Promise((resolve, reject) => {
    if (!page) return reject(new PasskeyError("blocked"));
    const end = new AbortController();
    const watch = setInterval(() => {
      if (!page.closed) return;
      end.abort();
      reject(new PasskeyError("left"));
    }, LOOK_MS);
    end.signal.addEventListener("abort", () => clearInterval(watch));
    const heard = ({ source, data }: MessageEvent<unknown>): void => {
      if (source !== page || data !== "authDone") return;
      end.abort();
      page.close();
      resolve();
    };
    window.addEventListener("message", heard, { signal: end.signal });
  });
}
