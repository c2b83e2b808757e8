// Puts what the device or the node refused into words that say what can be done about it.
import { DeviceError } from "../../device/errors";
import { isKey, t } from "../../i18n";
import { words as wordsOf } from "../errors";

export function words(error: unknown, nameOf: (userId: string) => string = (userId) => userId): string {
  if (!(error instanceof DeviceError)) return wordsOf(error);
  const key = `error.${error.code}`;
  return isKey(key) ? t(key, { name: error.about === null ? "" : nameOf(error.about) }) : wordsOf(error);
}
