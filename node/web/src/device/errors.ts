// What the device itself refuses, and how errors cross the channel to a page.
import { ApiError } from "../api/http";
import type { Fault, FaultCode } from "./protocol";

/** The device will not do what was asked, or cannot. */
export class DeviceError extends Error {
  override name = "DeviceError";

  constructor(
    readonly code: FaultCode,
    /** Whom it is about. */
    readonly about: string | null = null,
  ) {
    super(code);
  }
}

export function faultOf(error: unknown): Fault {
  if (error instanceof ApiError) {
    const { status, code, message, retryAfterMs } = error;
    return { code, message, status, retryAfterMs, about: null };
  }
  const about = error instanceof DeviceError ? error.about : null;
  const code = error instanceof DeviceError ? error.code : "unknown";
  return { code, message: String(error), status: null, retryAfterMs: null, about };
}

export function errorOf({ code, message, status, retryAfterMs, about }: Fault): Error {
  if (status !== null) return new ApiError(status, code, message, retryAfterMs, {});
  return code === "unknown" ? new Error(message) : new DeviceError(code as FaultCode, about);
}
