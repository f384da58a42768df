import { render } from "preact";
import { App } from "./App";
import { poll, start } from "./state";
import "./style.css";
import { applyTheme } from "./theme";

applyTheme();
render(<App />, document.getElementById("app")!);
void start();
poll();
