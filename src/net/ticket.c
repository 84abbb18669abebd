#include "net/ticket.h"

#include <stdlib.h>

#include "base/bug.h"

void tickets_release(struct tickets *t)
{
	free(t->places);
	*t = (struct tickets){ 0 };
}

static struct ticket_place *place_of(const struct tickets *t, uint64_t ticket)
{
	uint32_t place = (uint32_t)ticket;

	if (place == 0 || place > t->n || t->places[place - 1].generation != ticket >> 32 || t->places[place - 1].object == NULL)
		return NULL;
	return &t->places[place - 1];
}

uint64_t ticket_new(struct tickets *t, void *object)
{
	uint32_t place = t->free;

	BUG_ON(object == NULL);
	if (place != 0) {
		t->free = t->places[place - 1].next_free;
	} else {
		if (t->n == t->room) {
			size_t room = t->room != 0 ? t->room * 2 : 64;
			struct ticket_place *places = room <= UINT32_MAX ? reallocarray(t->places, room, sizeof(*places)) : NULL;

			if (places == NULL)
				return 0;
			t->places = places;
			t->room = room;
		}
		place = (uint32_t)++t->n;
		t->places[place - 1].generation = 0;
	}
	t->places[place - 1].object = object;
	t->open++;
	return (uint64_t)t->places[place - 1].generation << 32 | place;
}

void *ticket_get(const struct tickets *t, uint64_t ticket)
{
	const struct ticket_place *p = place_of(t, ticket);

	return p != NULL ? p->object : NULL;
}

void *ticket_take(struct tickets *t, uint64_t ticket)
{
	struct ticket_place *p = place_of(t, ticket);
	void *object;

	if (p == NULL)
		return NULL;
	object = p->object;
	p->object = NULL;
	p->generation++;
	p->next_free = t->free;
	t->free = (uint32_t)ticket;
	t->open--;
	return object;
}
