/* Reads the payload of a start request: u8 flags, u32 argc, u32 envc, then argc + envc + 1 texts (cwd first), each u32 length,
 * bytes, NUL. Used by the keeper and by the zygote, so that a command crosses both as it came. */
#include "keeper.h"

#include <stdlib.h>
#include <string.h>

struct cursor {
  char *at, *end;
};

static int take_u32(struct cursor *c, uint32_t *value) {
  if (c->end - c->at < 4) return -1;
  memcpy(value, c->at, 4);
  c->at += 4;
  return 0;
}

static char *take_text(struct cursor *c) {
  uint32_t length;
  if (take_u32(c, &length) != 0 || (size_t)(c->end - c->at) < (size_t)length + 1 || c->at[length] != '\0') return NULL;
  char *text = c->at;
  c->at += length + 1;
  return text;
}

static char **take_texts(struct cursor *c, uint32_t count) {
  if (count > (size_t)(c->end - c->at) / 5) return NULL;
  char **texts = calloc((size_t)count + 1, sizeof *texts);
  for (uint32_t i = 0; texts != NULL && i < count; i++) {
    texts[i] = take_text(c);
    if (texts[i] == NULL) {
      free(texts);
      return NULL;
    }
  }
  return texts;
}

int spec_parse(char *payload, size_t length, struct spec *spec) {
  struct cursor c = {payload, payload + length};
  uint32_t argc, envc;
  if (length < 1) return -1;
  unsigned char flags = (unsigned char)*c.at++;
  if (take_u32(&c, &argc) != 0 || take_u32(&c, &envc) != 0 || argc == 0) return -1;
  spec->is_shell = (flags & START_SHELL) != 0;
  spec->wants_stdin = (flags & START_STDIN) != 0;
  spec->is_terminal = (flags & START_TERMINAL) != 0;
  spec->cwd = take_text(&c);
  spec->argv = spec->cwd == NULL ? NULL : take_texts(&c, argc);
  spec->envp = spec->argv == NULL ? NULL : take_texts(&c, envc);
  if (spec->envp == NULL) {
    free(spec->argv);
    return -1;
  }
  return 0;
}
