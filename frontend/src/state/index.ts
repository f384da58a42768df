// What the page knows and what the reader has chosen; everything shown follows from these signals.
// The modules are in the order of their imports, which only go up this list.

export { notice, say } from "./notice";
export { added, counts, disputes, keyOf, mine, nAnswered, ownAt, pending, reader, session, worklist } from "./known";
export { slide, slideProblem, wanted } from "./slides";
export { browse, caseFacts, chosen, dropMark, isFigure, noteCrop, nTries, select, selection } from "./selection";
export { filters, jump, NO_FILTERS, position, rows, showMarks, shownMarks, source, step, type Filters } from "./rows";
export { chooseAt, mark } from "./marking";
export { answer, isReady, undo } from "./answering";
export { fatal, isEntering, nameProblem, poll, start, takeReader, tryAgain } from "./connection";
