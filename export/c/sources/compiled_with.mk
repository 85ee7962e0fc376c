# COMPILED_WITH is a file that changes where the compiler or its flags do: objects depend on it.
COMMAND := '$(subst ','\'',$(CC) $(FLAGS))'

$(COMPILED_WITH): always
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = $(COMMAND) ] || printf '%s\n' $(COMMAND) > $@

.PHONY: always
