// What only members have while they are in a world: conversations and friends beside the chat, and friends who learn where they are.
import { mayGive } from "./api/badges";
import type { NodeInfo } from "./api/node";
import type { Session } from "./api/session";
import { goalAt } from "./friends/goal";
import { type Friendship, friendshipOf } from "./friendship";
import { t } from "./i18n";
import { type Membership, membershipOf } from "./membership";
import type { Goal } from "./passage";
import { type Address, addressOf } from "./travel/address";
import { words } from "./ui/errors";
import type { Met } from "./ui/friends/person";
import type { Hud } from "./ui/hud";
import type { MessagesPanel } from "./ui/messages/panel";
import { dialogIsOpen, notice } from "./ui/shell";
import { watchPresses } from "./visit/pressing";
import type { Visit } from "./visit/visit";

export interface CompanyDoors {
  /** Goes into another world, on whichever node it is. */
  enter(world: Address): void;
  /** Goes somewhere, once the way there is open. */
  go(goal: Goal): void;
}

export class Company {
  private membership: Membership | null = null;
  private friendship: Friendship | null = null;
  private hud: Hud | null = null;
  private messages: MessagesPanel | null = null;
  /** Ends what this visit is told until it is over. */
  private ends: (() => void)[] = [];
  /** Ends what is told to what lies over the world, until that is drawn anew. */
  private undraw: (() => void)[] = [];
  private over = false;
  /** Whether the person is not in the world any more. */
  private gone = false;
  /** Whether the person may give others badges here. */
  private gives = false;

  constructor(
    private readonly visit: Visit,
    private readonly who: () => Session,
    private readonly node: NodeInfo,
    private readonly doors: CompanyDoors,
  ) {}

  /** Fetches all of it, once the world is there. */
  async join(): Promise<void> {
    if (this.over || this.who().guest) return;
    await this.joinMessages();
    await this.joinFriends();
  }

  private async joinMessages(): Promise<void> {
    const { visit } = this;
    const opened = membershipOf(this.who());
    if (!opened || this.membership) return;
    const speaks = opened.then(({ messages }) => messages);
    visit.speech.speaker = {
      knowsSealed: (roomId) => {
        const { shield } = this.membership?.messages.conversation(roomId) ?? {};
        return shield !== undefined && shield !== "open" && shield !== "plain";
      },
      send: async (roomId, body, transaction) => (await speaks).call("send", roomId, body, transaction),
      words: (error) => this.membership?.parts.words(error) ?? words(error),
    };
    try {
      const membership = await opened;
      if (this.over) return;
      this.membership = membership;
      this.hearSealed(membership);
      if (this.hud) this.offerMessages(this.hud, membership);
    } catch (error) {
      // The world and its chat go on without.
      console.warn("messages cannot be opened", error);
    }
  }

  /** What is encrypted in this world's chat is read by the device. */
  private hearSealed({ messages }: Membership): void {
    const { visit } = this;
    const roomId = visit.world.room_id;
    this.ends.push(messages.hearIn(roomId, (said) => visit.take(said)));
    let read = false;
    const look = (): void => {
      const { shield } = messages.conversation(roomId) ?? {};
      if (read || shield === undefined || shield === "open" || shield === "plain") return;
      read = true;
      messages.call("open", roomId).then(
        ({ said }) => {
          visit.chat.before(said);
          this.hud?.chat.update(null, this.who().userId);
        },
        (error: unknown) => console.warn("what was said before cannot be read", error),
      );
    };
    this.ends.push(messages.watch(look));
    look();
  }

  private async joinFriends(): Promise<void> {
    if (this.friendship || this.over) return;
    const friendship = await friendshipOf(this.who());
    if (!friendship || this.over) return;
    this.friendship = friendship;
    void this.learnGiving();
    const { visit } = this;
    const { friends, parts } = friendship;
    if (!this.gone) friends.place.begin(parts.whereabouts(visit.world, visit.host.serverName));
    this.ends.push(() => friends.place.end());
    this.ends.push(friends.watchBlocks((blocks) => visit.blocking.block(blocks)));
    let print = "";
    const hide = (): void => {
      const blocked = friends.blocked.map(({ userId }) => userId);
      if (blocked.join() === print) return;
      print = blocked.join();
      visit.hide(new Set(blocked));
    };
    this.ends.push(friends.watch(hide));
    hide();
    this.ends.push(watchPresses(visit, (userId) => this.press(userId)));
    if (this.hud) this.offerFriends(this.hud, friendship);
  }

  /** Somebody's body was pressed. */
  private press(userId: string): void {
    const person = this.visit.crowd.byUser(userId);
    if (person && !dialogIsOpen()) this.meet(person.entered);
  }

  /** Puts it all into what lies over the world. */
  offer(hud: Hud): void {
    this.hud = hud;
    for (const end of this.undraw.splice(0)) end();
    if (this.membership) this.offerMessages(hud, this.membership);
    if (this.friendship) this.offerFriends(hud, this.friendship);
  }

  private offerMessages(hud: Hud, { messages, parts }: Membership): void {
    const roomId = this.visit.world.room_id;
    const doors = {
      opens: () => this.rest(true),
      closed: () => this.rest(false),
      leave: () => hud.focusWorld(),
      serverName: this.node.server_name,
      worldId: roomId,
      enter: this.doors.enter,
    };
    const panel = new parts.MessagesPanel(messages, doors);
    this.messages = panel;
    hud.chat.offer(
      {
        name: "messages",
        element: panel.element,
        title: t("messages.title"),
        show: (yes) => panel.show(yes),
        focus: () => panel.focus(),
      },
      t("messages.tabs"),
    );
    hud.offerWriting(
      (userId) => this.write(userId),
      (name) => t("messages.write_to", { name }),
    );
    const about = (): void => {
      doors.opens();
      parts.detailsDialog(messages, roomId, doors.closed);
    };
    let kept: string | undefined;
    const count = (): void => {
      const { newest } = messages;
      hud.chat.wait("messages", messages.waiting(roomId), newest === "" ? "" : t("messages.came", { name: newest }));
      const world = messages.conversation(roomId);
      if (world?.shield === kept) return;
      kept = world?.shield;
      const isPrivate = world !== null && kept !== "open";
      hud.chat.keptAs(isPrivate ? parts.shieldButton(messages, world, doors) : null);
      hud.offerAbout(isPrivate ? about : null);
    };
    this.undraw.push(messages.watch(count), () => panel.dispose());
    count();
  }

  /** Opens the conversation with somebody beside the chat. */
  private write(userId: string, roomId = ""): void {
    const { hud, messages, friendship } = this;
    if (!hud || !messages) return;
    // Whoever goes into the room in which somebody asks has accepted: they are asked first.
    const asks = friendship?.friends.of(userId);
    if (asks?.standing === "asking") {
      this.meet({ userId, name: asks.name, guest: false, badges: this.visit.crowd.byUser(userId)?.entered.badges ?? [] });
      return;
    }
    hud.chat.turn("messages");
    hud.chat.open(true);
    void messages.write(userId, roomId);
  }

  private offerFriends(hud: Hud, { friends, parts }: Friendship): void {
    const panel = new parts.FriendsPanel(friends, {
      serverName: this.node.server_name,
      leave: () => hud.focusWorld(),
      isHere: ({ world, server }) => {
        const { host, world: here } = this.visit;
        return server === host.serverName && (world === here.room_id || world === addressOf(here, server).name);
      },
      join: (place) => {
        const goal = goalAt(place);
        if (goal) this.doors.go(goal);
      },
      write: this.messages && (({ userId, roomId }) => this.write(userId, roomId)),
    });
    const all = t(this.messages ? "friends.tabs" : "friends.tabs_two");
    hud.chat.offer(
      {
        name: "friends",
        element: panel.element,
        title: t("friends.title"),
        show: (yes) => panel.show(yes),
        focus: () => panel.focus(),
      },
      all,
    );
    hud.offerMeeting((met) => this.meet(met), (name) => t("friends.more", { name }));
    const count = (): void => {
      const newest = friends.parts.asking.at(-1)?.name;
      hud.chat.wait("friends", friends.requests, newest === undefined ? "" : t("friends.news", { name: newest }));
    };
    this.undraw.push(friends.watch(count), () => panel.dispose());
    count();
  }

  /** Shows how one stands to somebody who is here, and what can be done about that. */
  private meet(met: Met): void {
    const { friendship, messages } = this;
    if (!friendship || met.userId === this.who().userId) return;
    this.rest(true);
    friendship.parts.personDialog(friendship.friends, met, {
      serverName: this.node.server_name,
      write: messages && ((userId) => this.write(userId)),
      give: this.gives ? (whom) => void this.give(whom) : null,
      closed: () => this.rest(false),
    });
  }

  /** Learns whether the person gives badges here: those do who moderate the node, in its own worlds. */
  private async learnGiving(): Promise<void> {
    if (!this.visit.host.isHome) return;
    try {
      this.gives = await mayGive(this.who());
    } catch (error) {
      console.warn("it is not known whether badges can be given", error);
    }
  }

  private async give(met: Met): Promise<void> {
    this.rest(true);
    try {
      const { givingDialog } = await import("./ui/badges/giving");
      await givingDialog(this.who(), met, () => this.rest(false));
    } catch (error) {
      notice(words(error), "bad");
      this.rest(false);
    }
  }

  /** While a dialog is open, keys do not walk; the focus stays where the dialog left it. */
  private rest(yes: boolean): void {
    // One dialog may take the place of another.
    setTimeout(() => {
      if (!this.over) this.visit.input.paused = yes || dialogIsOpen();
    });
  }

  /** The visit is over, whatever the page still shows of it. */
  left(): void {
    this.gone = true;
    this.friendship?.friends.place.end();
  }

  dispose(): void {
    this.over = true;
    for (const end of [...this.ends.splice(0), ...this.undraw.splice(0)]) end();
  }
}
