# By name: the folder may hold files of yours.
SOURCES := model.c ts_network.c ts_portable.c ts_front_end.c ts_simd.c \
	ts_avx2.c ts_avx512.c ts_neon.c model_network.c model_front_end.c model_tables.c

# COMPILED_WITH is a file that changes where the compiler or its flags do: objects depend on it.
COMMAND := '$(subst ','\'',$(CC) $(FLAGS))'

$(COMPILED_WITH): always
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = $(COMMAND) ] || printf '%s\n' $(COMMAND) > $@

.PHONY: always
