// Makes elements of the page without a framework.

type Child = Node | string | null | false;

interface Props {
  class?: string;
  text?: string;
  /** Attributes; true is one without a value, false and null are none. */
  attrs?: Record<string, string | number | boolean | null>;
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (props.class) element.className = props.class;
  if (props.text !== undefined) element.textContent = props.text;
  for (const [name, value] of Object.entries(props.attrs ?? {})) {
    if (value === false || value === null) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [name, listener] of Object.entries(props.on ?? {})) {
    element.addEventListener(name, listener as EventListener);
  }
  for (const child of children) if (child !== null && child !== false) element.append(child);
  return element;
}

let ids = 0;

/** An id that no other element has. */
export function freshId(name: string): string {
  ids += 1;
  return `${name}-${ids}`;
}

/** A labelled field of a form. */
export function field(
  label: string,
  attrs: Record<string, string | number | boolean | null>,
  hint: string | null = null,
): { row: HTMLElement; input: HTMLInputElement } {
  const id = freshId("field");
  const hintId = `${id}-hint`;
  const input = h("input", { attrs: { id, "aria-describedby": hint ? hintId : null, ...attrs } });
  const row = h(
    "div",
    { class: "field" },
    h("label", { text: label, attrs: { for: id } }),
    input,
    hint !== null && h("p", { class: "hint", text: hint, attrs: { id: hintId } }),
  );
  return { row, input };
}

/** Shows an element only where it has something to say. */
export function say(element: HTMLElement, text: string | null): void {
  element.textContent = text ?? "";
  element.hidden = text === null || text === "";
}

/** Runs a deed once at a time, with its button at rest meanwhile. */
export async function busy(button: HTMLButtonElement, deed: () => Promise<void>): Promise<void> {
  if (button.disabled) return;
  button.disabled = true;
  button.classList.add("busy");
  try {
    await deed();
  } finally {
    button.disabled = false;
    button.classList.remove("busy");
  }
}
