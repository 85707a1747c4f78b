// A file of its own, since the content security policy lets no script stand in the page.
window.ui = SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "/flask/openapi.json",
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  defaultModelsExpandDepth: -1,
  // The public validator would be a request to someone else's server.
  validatorUrl: "none",
});
