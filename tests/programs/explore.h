/** What the parts of the explorer say to it. */
#pragma once

/** The run has failed: notes why, and ends the process. */
void explore_report(const char *text) __attribute__((noreturn));
