// What a person asks of their body, from keyboard, mouse, touch and gamepad alike.

/** Asked in this frame; lengths of `forward` and `aside` together are at most 1. */
export interface Intent {
  forward: number;
  /** To the right. */
  aside: number;
  run: boolean;
  jump: boolean;
  /** Turns of the view in radians, to the left and up. */
  yaw: number;
  pitch: number;
  /** Metres that the view moves away. */
  zoom: number;
}

export interface Commands {
  sit(): void;
  view(): void;
  chat(): void;
  emote(number: number): void;
  escape(): void;
}

const LOOK_PER_PIXEL = 0.0042;
const TOUCH_LOOK_PER_PIXEL = 0.006;
const KEY_TURN_PER_S = 2.1;
const PAD_TURN_PER_S = 2.6;
const DEAD_ZONE = 0.16;
const STICK_PX = 46;
/** With the stick pushed further than this somebody runs. */
const RUN_FROM = 0.88;

const FORWARD = ["KeyW", "ArrowUp"];
const BACK = ["KeyS", "ArrowDown"];

export class Input {
  private resting = false;
  private readonly keys = new Set<string>();
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private jumpAsked = false;
  private yaw = 0;
  private pitch = 0;
  private zoom = 0;
  private pinch = 0;
  private stick = { x: 0, y: 0 };
  private padButtons: boolean[] = [];
  private readonly stop = new AbortController();
  private readonly intent: Intent = {
    forward: 0,
    aside: 0,
    run: false,
    jump: false,
    yaw: 0,
    pitch: 0,
    zoom: 0,
  };

  constructor(
    private readonly canvas: HTMLElement,
    private readonly commands: Commands,
  ) {
    const { signal } = this.stop;
    window.addEventListener("keydown", (event) => this.keyDown(event), { signal });
    window.addEventListener("keyup", (event) => this.keys.delete(event.code), { signal });
    window.addEventListener("blur", () => this.keys.clear(), { signal });
    canvas.addEventListener("pointerdown", (event) => this.pointerDown(event), { signal });
    canvas.addEventListener("pointermove", (event) => this.pointerMove(event), { signal });
    for (const end of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId), { signal });
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom += Math.sign(event.deltaY) * Math.min(0.6, Math.abs(event.deltaY) * 0.004);
      },
      { signal, passive: false },
    );
  }

  get paused(): boolean {
    return this.resting;
  }

  /** While a dialog is open, keys belong to it, also those that were held when it opened. */
  set paused(yes: boolean) {
    this.resting = yes;
    if (yes) this.keys.clear();
  }

  /** Lets a pad under the thumb steer; the knob follows it. */
  attachStick(pad: HTMLElement, knob: HTMLElement): void {
    const { signal } = this.stop;
    let held: number | null = null;
    const move = (event: PointerEvent): void => {
      if (event.pointerId !== held) return;
      const box = pad.getBoundingClientRect();
      const x = event.clientX - (box.left + box.width / 2);
      const y = event.clientY - (box.top + box.height / 2);
      const length = Math.hypot(x, y);
      const share = length > STICK_PX ? STICK_PX / length : 1;
      this.stick = { x: (x * share) / STICK_PX, y: (y * share) / STICK_PX };
      knob.style.transform = `translate(${x * share}px, ${y * share}px)`;
    };
    const release = (event: PointerEvent): void => {
      if (event.pointerId !== held) return;
      held = null;
      this.stick = { x: 0, y: 0 };
      knob.style.transform = "";
    };
    pad.addEventListener(
      "pointerdown",
      (event) => {
        held = event.pointerId;
        pad.setPointerCapture(event.pointerId);
        move(event);
      },
      { signal },
    );
    pad.addEventListener("pointermove", move, { signal });
    pad.addEventListener("pointerup", release, { signal });
    pad.addEventListener("pointercancel", release, { signal });
  }

  askJump(): void {
    this.jumpAsked = true;
  }

  /** What is asked now; the same object every time. */
  read(seconds: number): Intent {
    const { intent } = this;
    const pad = this.readPad(seconds);
    const held = (codes: readonly string[]): number => (codes.some((code) => this.keys.has(code)) ? 1 : 0);
    const keysForward = held(FORWARD) - held(BACK);
    const keysAside = held(["KeyD"]) - held(["KeyA"]);
    intent.forward = keysForward - this.stick.y - pad.y;
    intent.aside = keysAside + this.stick.x + pad.x;
    const length = Math.hypot(intent.forward, intent.aside);
    if (length > 1) {
      intent.forward /= length;
      intent.aside /= length;
    }
    const pushed = Math.max(Math.hypot(this.stick.x, this.stick.y), pad.run ? 1 : 0);
    intent.run = held(["ShiftLeft", "ShiftRight"]) === 1 || pushed > RUN_FROM;
    intent.jump = this.jumpAsked;
    intent.yaw = this.yaw + (held(["ArrowLeft"]) - held(["ArrowRight"])) * KEY_TURN_PER_S * seconds;
    intent.pitch = this.pitch;
    intent.zoom = this.zoom;
    this.jumpAsked = false;
    this.yaw = this.pitch = this.zoom = 0;
    return intent;
  }

  private keyDown(event: KeyboardEvent): void {
    if (event.code === "Escape") {
      this.commands.escape();
      return;
    }
    if (this.paused || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const onButton = event.target instanceof HTMLElement && event.target.closest("button, a") !== null;
    if (onButton && (event.code === "Space" || event.code === "Enter")) return;
    this.keys.add(event.code);
    if (event.repeat) return;
    const { commands } = this;
    const deeds: Record<string, () => void> = {
      Space: () => this.askJump(),
      KeyE: () => commands.sit(),
      KeyV: () => commands.view(),
      Enter: () => commands.chat(),
      KeyT: () => commands.chat(),
      Digit1: () => commands.emote(1),
      Digit2: () => commands.emote(2),
      Digit3: () => commands.emote(3),
    };
    const deed = deeds[event.code];
    if (!deed) return;
    event.preventDefault();
    deed();
  }

  private pointerDown(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.pinch = 0;
  }

  private pointerMove(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    before.x = event.clientX;
    before.y = event.clientY;
    if (this.pointers.size === 2) {
      const [one, other] = [...this.pointers.values()];
      const apart = one && other ? Math.hypot(one.x - other.x, one.y - other.y) : 0;
      if (this.pinch > 0) this.zoom += (this.pinch - apart) * 0.012;
      this.pinch = apart;
      return;
    }
    const rate = event.pointerType === "touch" ? TOUCH_LOOK_PER_PIXEL : LOOK_PER_PIXEL;
    this.yaw -= dx * rate;
    this.pitch -= dy * rate;
  }

  private readPad(seconds: number): { x: number; y: number; run: boolean } {
    const pad = navigator.getGamepads?.().find((one) => one?.mapping === "standard");
    if (!pad || this.paused) return { x: 0, y: 0, run: false };
    const walk = outOfDeadZone(pad.axes[0] ?? 0, pad.axes[1] ?? 0);
    const look = outOfDeadZone(pad.axes[2] ?? 0, pad.axes[3] ?? 0);
    this.yaw -= look.x * PAD_TURN_PER_S * seconds;
    this.pitch -= look.y * PAD_TURN_PER_S * 0.7 * seconds;
    const pressed = pad.buttons.map((button) => button.pressed);
    const fresh = (index: number): boolean => pressed[index] === true && !this.padButtons[index];
    if (fresh(0)) this.askJump();
    if (fresh(2)) this.commands.sit();
    if (fresh(3)) this.commands.view();
    if (fresh(12)) this.commands.emote(1);
    if (fresh(13)) this.commands.emote(2);
    if (fresh(15)) this.commands.emote(3);
    this.padButtons = pressed;
    return { ...walk, run: pressed[10] === true || pressed[5] === true };
  }

  dispose(): void {
    this.stop.abort();
  }
}

/** A stick at rest is never quite in its middle: nothing begins before the end of its dead zone, and gently there. */
function outOfDeadZone(x: number, y: number): { x: number; y: number } {
  const length = Math.hypot(x, y);
  if (length < DEAD_ZONE) return { x: 0, y: 0 };
  const share = (Math.min(1, length) - DEAD_ZONE) / (1 - DEAD_ZONE) / length;
  return { x: x * share, y: y * share };
}

export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null
  );
}
