from django.contrib.admin.apps import AdminConfig


class ChampiPyAdminConfig(AdminConfig):
    """Makes `ChampiPyAdmin` the site that the apps register their pages with.

    It stands alone in this module, which is imported before there are models.
    """

    default_site = "champipy_site.admin_site.ChampiPyAdmin"
