import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { KEYS } from "./keys";
import * as state from "./state";

function Modal({ title, close, children }: { title: string; close: (() => void) | null; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    box.current!.showModal();
  }, []);
  return (
    <dialog
      ref={box}
      aria-labelledby="dialog-title"
      onClose={() => {
        if (close !== null) close();
        else box.current?.showModal(); // browsers close it at the second Esc, whatever onCancel says
      }}
      onCancel={(event) => {
        if (close === null) event.preventDefault();
      }}
    >
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

export function ReaderDialog({ close }: { close: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  const session = state.session.value!;
  const submit = (event: Event): void => {
    event.preventDefault();
    const name = field.current!.value.replace(/\s+/gu, " ").trim();
    if (name === "") return;
    state.takeReader(name).then(close, (error: unknown) => (state.nameProblem.value = (error as Error).message));
  };
  useEffect(() => () => void (state.nameProblem.value = null), []);
  return (
    <Modal title="Who reviews?" close={state.reader.value === null ? null : close}>
      <p>Every answer is kept under this name. Readers' answers are compared, so always use the same one.</p>
      <form onSubmit={submit}>
        <label>
          <span>Name</span>
          <input ref={field} type="text" maxLength={100} required autofocus list="readers" autocomplete="off" defaultValue={state.reader.value ?? ""} data-test="reader-name" />
        </label>
        <datalist id="readers">
          {session.readers.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        {state.nameProblem.value !== null && (
          <p class="refused" role="alert">
            {state.nameProblem.value}
          </p>
        )}
        {session.blinded && <p class="muted">This review is blinded: calls, ranks and other readers' answers are hidden.</p>}
        <div class="actions">
          {state.reader.value !== null && (
            <button type="button" onClick={close}>
              Cancel
            </button>
          )}
          <button type="submit" class="primary">
            Start
          </button>
        </div>
      </form>
    </Modal>
  );
}

export function JumpDialog({ close }: { close: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  const last = state.rows.value.length;
  const submit = (event: Event): void => {
    event.preventDefault();
    state.jump(field.current!.valueAsNumber - 1);
    close();
  };
  return (
    <Modal title="Jump to a case" close={close}>
      <form onSubmit={submit}>
        <label>
          <span>Number, 1 to {last}</span>
          <input ref={field} type="number" min={1} max={last} required autofocus data-test="jump" />
        </label>
        <div class="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Jump
          </button>
        </div>
      </form>
    </Modal>
  );
}

export function HelpDialog({ close }: { close: () => void }) {
  return (
    <Modal title="Keys" close={close}>
      <table class="keys">
        <tbody>
          {KEYS.map(([key, what]) => (
            <tr key={key}>
              <th scope="row">
                {key.split(" ").map((one) => (one === "+" && key.length > 3 ? " + " : <kbd key={one}>{one}</kbd>))}
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p>
        A click on a mark chooses that figure, listed or not. An answer is kept before the next case is shown; while there is
        no connection, answers wait in this browser.
      </p>
      <p class="muted">wsiamf {state.session.value?.version} · research use only</p>
      <div class="actions">
        <button type="button" class="primary" onClick={close} autofocus>
          Close
        </button>
      </div>
    </Modal>
  );
}
