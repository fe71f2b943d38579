// The checked build: every load and store of a kernel, looked at.
#include "machine.h"
