// Package browser opens reports of `plimsoll simulate` in a real Chromium. It is
// a module of its own, so that what drives the browser is no requirement of the
// scheduler, and its test needs the build tag "browser". Run hack/browser.sh.
package browser
