// Asks the node over HTTP, and turns whatever goes wrong into one kind of error.

const TIMEOUT_MS = 20_000;
/** For the node to ask another, which may be slow. */
export const FAR_MS = 40_000;

/** What the node refused, or that it could not be asked at all (`M_WAYSIDE_UNREACHABLE`). */
export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterMs: number | null,
    readonly body: Record<string, unknown>,
  ) {
    super(message);
  }

  get unreachable(): boolean {
    return this.status === 0;
  }
}

export interface Ask {
  body?: unknown;
  token?: string | null;
  signal?: AbortSignal;
  /** How long the answer may take. */
  timeoutMs?: number;
  /** Whether the browser keeps nothing of it, as where the address itself holds a secret. */
  secret?: boolean;
}

export async function ask<T>(method: string, path: string, options: Ask = {}): Promise<T> {
  const headers: Record<string, string> = {};
  if (options.token) headers.Authorization = `Bearer ${options.token}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ? AbortSignal.any([timeout, options.signal]) : timeout,
      ...(options.secret && { cache: "no-store" }),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unreachable();
  }
  const said = await response.text();
  return settle<T>(response.status, said, response.headers.get("Retry-After"));
}

/** Uploads bytes and says how many are on their way; fetch cannot tell that. */
export function upload<T>(
  path: string,
  file: Blob,
  token: string,
  progress: (sent: number, total: number) => void,
  method = "POST",
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded, event.total || file.size);
    request.onload = () => {
      try {
        const again = request.getResponseHeader("Retry-After");
        resolve(settle<T>(request.status, request.responseText, again));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = () => reject(unreachable());
    request.send(file);
  });
}

function settle<T>(status: number, said: string, again: string | null): T {
  const body = parse(said);
  if (status >= 200 && status < 300 && body !== null) return body as T;
  const fields = isFields(body) ? body : {};
  const code = typeof fields.errcode === "string" ? fields.errcode : "M_UNKNOWN";
  const text = typeof fields.error === "string" ? fields.error : `${status}`;
  const ms = typeof fields.retry_after_ms === "number" ? fields.retry_after_ms : null;
  throw new ApiError(status, code, text, ms ?? (again ? Number(again) * 1000 : null), fields);
}

function parse(said: string): unknown {
  try {
    return said === "" ? {} : JSON.parse(said);
  } catch {
    return null;
  }
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function unreachable(): ApiError {
  return new ApiError(0, "M_WAYSIDE_UNREACHABLE", "the node cannot be reached", null, {});
}
