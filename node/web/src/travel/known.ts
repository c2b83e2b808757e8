// The nodes to which somebody has gone from here, knowing that these learn who they are.
import { Marks } from "../marks";

/** The oldest are forgotten: they are asked about once more. */
const MOST = 200;
const walkedTo = new Marks("wayside.walked_to", MOST);

export const isKnown = (serverName: string): boolean => walkedTo.has(serverName);

export const know = (serverName: string): void => walkedTo.add(serverName);

/** Whoever signs out leaves no trace of where they were. */
export const forgetKnown = (): void => walkedTo.forget();
