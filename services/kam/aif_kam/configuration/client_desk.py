"""What a client says of itself: profile, company, settings for AI, products, workspaces."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from aif_contracts.configuration import (
    AiSettings,
    Company,
    Product,
    Products,
    Profile,
    Workspace,
    ai_settings_entry,
    company_entry,
    products_entry,
    profile_entry,
    workspace_entry,
)
from aif_kam import problems
from aif_kam.configuration.book import ConfigurationBook
from aif_kam.configuration.free_json import check_free_json
from aif_kam.configuration.payloads import (
    AccountView,
    AccountWish,
    AiSettingsView,
    AiSettingsWish,
    CompanyView,
    CompanyWish,
    NewWorkspace,
    ProductList,
    ProductView,
    ProductWish,
    ProfileView,
    ProfileWish,
    WorkspaceList,
    WorkspaceView,
    WorkspaceWish,
    part_of,
    stamp,
)
from aif_kam.configuration.store import Account, Place, StoredValue
from aif_kam.failures import Conflict, InvalidInput, NotFound, invalid
from aif_kam.idempotency import Answer, KeyedCall, KeyStore
from aif_kam.time_zones import zone_mistake
from aif_runtime.ids import NewId
from aif_runtime.postgres import Connection, Database

MOST_PRODUCTS = 200
MOST_PRODUCT_BYTES = 512 * 1024
"""Together: they travel as one entry of a bucket."""
MOST_WORKSPACES = 100

Part = TypeVar("Part", bound=Struct)


class ClientDesk:
    def __init__(self, *, database: Database, book: ConfigurationBook, keys: KeyStore, new_id: NewId) -> None:
        self._database = database
        self._book = book
        self._keys = keys
        self._new_id = new_id

    async def profile(self, client_id: str) -> ProfileView:
        """Raises NotFound."""
        return await self._profile_view(client_id, await self._book.find(_alone(client_id, profile_entry)))

    async def account(self, client_id: str) -> AccountView:
        """Raises NotFound."""
        return _account_view(await self._book.account(client_id))

    async def change_account(self, client_id: str, wish: AccountWish, by: str) -> AccountView:
        """Raises NotFound."""
        return _account_view(await self._book.change_account(client_id, tier=wish.tier, coins=wish.coins, by=by))

    async def put_profile(self, client_id: str, wish: ProfileWish, by: str) -> ProfileView:
        """Raises NotFound, InvalidInput, Conflict."""
        _check_timezone(wish.timezone)
        await self._book.account(client_id)
        kept = _kept_of_profile(wish)
        stored = await self._book.put(_alone(client_id, profile_entry), kept, version=wish.version, by=by)
        return await self._profile_view(client_id, stored)

    async def give_name(self, connection: Connection, client_id: str, display_name: str, by: str) -> None:
        """In its profile, whose other facts stay, inside the caller's transaction."""

        def named(value: Any) -> dict[str, Any]:
            return {**_kept_of_profile(Profile()), **(value or {}), "display_name": display_name}

        await self._book.change_within(connection, _alone(client_id, profile_entry), named, by=by)

    def pushed_soon(self) -> None:
        """After a commit: there is something to push."""
        self._book.pushed_soon()

    async def company(self, client_id: str) -> CompanyView:
        stored = await self._book.find(_alone(client_id, company_entry))
        return part_of(_part(stored, Company), CompanyView, **stamp(client_id, stored))

    async def put_company(self, client_id: str, wish: CompanyWish, by: str) -> CompanyView:
        """Raises Conflict."""
        place, company = _alone(client_id, company_entry), part_of(wish, Company)
        stored = await self._book.put(place, company, version=wish.version, by=by)
        return part_of(company, CompanyView, **stamp(client_id, stored))

    async def ai_settings(self, client_id: str) -> AiSettingsView:
        stored = await self._book.find(_alone(client_id, ai_settings_entry))
        return part_of(_part(stored, AiSettings), AiSettingsView, **stamp(client_id, stored))

    async def put_ai_settings(self, client_id: str, wish: AiSettingsWish, by: str) -> AiSettingsView:
        """Raises Conflict."""
        place, settings = _alone(client_id, ai_settings_entry), part_of(wish, AiSettings)
        stored = await self._book.put(place, settings, version=wish.version, by=by)
        return part_of(settings, AiSettingsView, **stamp(client_id, stored))

    async def products(self, client_id: str) -> ProductList:
        """Oldest first."""
        stored = await self._book.list_of_entry(products_entry(client_id))
        return ProductList(products=tuple(_product_view(client_id, each) for each in stored))

    async def product(self, client_id: str, product_id: str) -> ProductView:
        """Raises NotFound, also for another client's."""
        return _product_view(client_id, await self._found(_product_place(client_id, product_id)))

    async def add_product(self, client_id: str, wish: ProductWish, by: str, call: KeyedCall | None) -> Answer:
        """Raises InvalidInput, KeyReused, KeyInFlight."""

        async def add(connection: Connection) -> Struct:
            product = part_of(wish, Product, product_id=self._new_id("prod"))
            place = _product_place(client_id, product.product_id)
            stored = await self._book.put_within(
                connection, place, product, version=0, by=by, check_others=_product_limits(product)
            )
            return _product_view(client_id, stored)

        return await self._added(call, add)

    async def put_product(self, client_id: str, product_id: str, wish: ProductWish, by: str) -> ProductView:
        """Raises NotFound, InvalidInput, Conflict."""
        product = part_of(wish, Product, product_id=product_id)
        async with self._database.transaction() as connection:
            stored = await self._book.put_within(
                connection,
                _product_place(client_id, product_id),
                product,
                version=wish.version,
                by=by,
                must_exist=True,
                check_others=_product_limits(product),
            )
        self._book.pushed_soon()
        return _product_view(client_id, stored)

    async def remove_product(self, client_id: str, product_id: str, version: int | None, by: str) -> ProductView:
        """What it was last. Raises NotFound, Conflict."""
        removed = await self._book.remove(_product_place(client_id, product_id), version=version, by=by)
        return _product_view(client_id, removed)

    async def workspaces(self, client_id: str) -> WorkspaceList:
        """Oldest first."""
        stored = await self._book.list_below(client_id, workspace_entry(client_id, ""))
        return WorkspaceList(workspaces=tuple(_workspace_view(client_id, each) for each in stored))

    async def workspace(self, client_id: str, workspace_id: str) -> WorkspaceView:
        """Raises NotFound, also for another client's."""
        return _workspace_view(client_id, await self._found(_workspace_place(client_id, workspace_id)))

    async def add_workspace(self, client_id: str, wish: NewWorkspace, by: str, call: KeyedCall | None) -> Answer:
        """Raises InvalidInput, KeyReused, KeyInFlight, Conflict where there is one of that name."""
        _check_workspace(wish)

        async def add(connection: Connection) -> Struct:
            await self._check_room(connection, client_id, wish.workspace_id)
            workspace = part_of(wish, Workspace)
            place = _workspace_place(client_id, wish.workspace_id)
            stored = await self._book.put_within(connection, place, workspace, version=0, by=by)
            return _workspace_view(client_id, stored)

        return await self._added(call, add)

    async def put_workspace(self, client_id: str, workspace_id: str, wish: WorkspaceWish, by: str) -> WorkspaceView:
        """Raises NotFound, InvalidInput, Conflict."""
        _check_workspace(wish)
        workspace = part_of(wish, Workspace, workspace_id=workspace_id)
        place = _workspace_place(client_id, workspace_id)
        stored = await self._book.put(place, workspace, version=wish.version, by=by, must_exist=True)
        return _workspace_view(client_id, stored)

    async def remove_workspace(self, client_id: str, workspace_id: str, version: int | None, by: str) -> WorkspaceView:
        """What it was last. Raises NotFound, Conflict."""
        removed = await self._book.remove(_workspace_place(client_id, workspace_id), version=version, by=by)
        return _workspace_view(client_id, removed)

    async def _added(self, call: KeyedCall | None, add: Callable[[Connection], Any]) -> Answer:
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            answer = problems.created(await add(connection))
            if call is not None:
                await self._keys.answer(connection, call, answer)
        self._book.pushed_soon()
        return answer

    async def _check_room(self, connection: Connection, client_id: str, workspace_id: str) -> None:
        stored = await self._book.lock_below(connection, client_id, workspace_entry(client_id, ""))
        if _workspace_place(client_id, workspace_id) in [each.place for each in stored]:
            raise Conflict(f"there is a workspace {workspace_id} already", code="workspace_exists")
        if len(stored) >= MOST_WORKSPACES:
            raise invalid("workspace_id", f"there are {len(stored)} workspaces", f"keep at most {MOST_WORKSPACES}")

    async def _found(self, place: Place) -> StoredValue:
        stored = await self._book.find(place)
        if stored is None:
            raise NotFound(f"there is no {place.item or place.entry.rsplit('.', 1)[1]}", code="not_configured")
        return stored

    async def _profile_view(self, client_id: str, stored: StoredValue | None) -> ProfileView:
        account = await self._book.account(client_id)
        profile = msgspec.structs.replace(_part(stored, Profile), tier=account.tier, coins=account.coins)
        return part_of(profile, ProfileView, **stamp(client_id, stored))


def _account_view(account: Account) -> AccountView:
    return AccountView(client_id=account.client_id, tier=account.tier, coins=account.coins)


def _alone(client_id: str, entry_of: Callable[[str], str]) -> Place:
    return Place(entry=entry_of(client_id), client_id=client_id)


def _kept_of_profile(profile: Profile | ProfileWish) -> dict[str, Any]:
    """Tier and coins are facts of the account."""
    return {name: getattr(profile, name) for name in ("display_name", "contact_email", "timezone")}


def _product_place(client_id: str, product_id: str) -> Place:
    return Place(entry=products_entry(client_id), item=product_id, client_id=client_id)


def _workspace_place(client_id: str, workspace_id: str) -> Place:
    return Place(entry=workspace_entry(client_id, workspace_id), client_id=client_id)


def _part(stored: StoredValue | None, part: type[Part]) -> Part:
    return part() if stored is None else msgspec.convert(stored.value, part)


def _product_view(client_id: str, stored: StoredValue) -> ProductView:
    return part_of(msgspec.convert(stored.value, Product), ProductView, **stamp(client_id, stored))


def _workspace_view(client_id: str, stored: StoredValue) -> WorkspaceView:
    return part_of(msgspec.convert(stored.value, Workspace), WorkspaceView, **stamp(client_id, stored))


def _check_timezone(name: str) -> None:
    if (wrong := zone_mistake(name)) is not None:
        raise InvalidInput(wrong.message, mistakes=(wrong,))


def _check_workspace(wish: NewWorkspace | WorkspaceWish) -> None:
    for field in ("branding", "ai_behaviour", "funnels"):
        check_free_json(field, getattr(wish, field))


def _product_limits(product: Product) -> Callable[[list[StoredValue]], None]:
    def check(others: list[StoredValue]) -> None:
        if len(others) >= MOST_PRODUCTS:
            raise invalid("name", f"there are {len(others)} products", f"keep at most {MOST_PRODUCTS}")
        together = Products(products=(*(msgspec.convert(each.value, Product) for each in others), product))
        size_bytes = len(msgspec.json.encode(together))
        if size_bytes > MOST_PRODUCT_BYTES:
            message = f"all products together would have {size_bytes} bytes as JSON"
            raise invalid("description", message, f"keep them below {MOST_PRODUCT_BYTES}")

    return check
